"""What pyproject.toml cannot say: the ready-made configs go into the package.

In a clone they lie beside ``src``, where people look for them.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copy what is in ``configs`` to ``sae/configs`` of what is built."""

    def run(self) -> None:
        """Build, and copy; an editable install reads those of the clone."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "sae" / "configs"
            for path in sorted(Path("configs").rglob("*.yaml")):
                copy = folder / path.relative_to("configs")
                self.mkpath(str(copy.parent))
                self.copy_file(str(path), str(copy))


setup(cmdclass={"build_py": BuildWithConfigs})
