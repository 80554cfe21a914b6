"""``python cli.py fit …``, ended after the first step of its optimiser; says when that was.

    python first_step.py STARTED fit --config …

STARTED is time.time() of whoever starts this process, just before.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

CLI = Path(__file__).parents[2] / "cli.py"


def main() -> None:
    started = float(sys.argv[1])

    def end(*_: object) -> None:
        print(f'\n{{"seconds": {time.time() - started}}}', flush=True)
        os._exit(0)

    register_optimizer_step_post_hook(end)
    sys.argv = [str(CLI), *sys.argv[2:]]
    runpy.run_path(str(CLI), run_name="__main__")
    sys.exit("fit ended without a step")


if __name__ == "__main__":
    main()
