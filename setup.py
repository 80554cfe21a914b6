"""What pyproject.toml cannot say: the ready-made configs go into the package.

In a clone they lie beside ``src``, where people look for them.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copy ``configs/*.yaml`` to ``sae/configs`` of what is built."""

    def run(self) -> None:
        """Build, and copy; an editable install reads those of the clone."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "sae" / "configs"
            self.mkpath(str(folder))
            for path in sorted(Path("configs").glob("*.yaml")):
                self.copy_file(str(path), str(folder / path.name))


setup(cmdclass={"build_py": BuildWithConfigs})
