"""The job of sae_cli.py by several processes that torchrun started, through the Trainer's DDP.

The batch size is that of all processes together.
"""

from __future__ import annotations

import os

import sae_cli
from job import begin, report


def main() -> None:
    job = begin(sae_cli.options())
    words = ["--trainer.devices", os.environ["WORLD_SIZE"], "--trainer.strategy", "ddp"]
    sae_cli.fit(job, [*sae_cli.QUIET, *words])
    if os.environ["RANK"] == "0":
        clocked = sae_cli.ClockedPretrainer
        report(job, clocked.clock, clocked.model.net)


if __name__ == "__main__":
    main()
