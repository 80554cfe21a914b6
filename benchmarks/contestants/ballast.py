"""Hold all memory of this machine but so much, until stdin is closed; say how much that is."""

from __future__ import annotations

import argparse
import mmap
import sys
from pathlib import Path


def available() -> int:
    """Bytes that could be had, page cache included."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--leave_gigabytes", type=float, required=True)
    leave = int(1e9 * parser.parse_args().leave_gigabytes)
    Path("/proc/self/oom_score_adj").write_text(
        "1000", encoding="utf-8"
    )  # if memory runs out, this goes first
    n = max(0, available() - leave)
    held = []
    for _ in range(n // 2**28):
        held.append(mmap.mmap(-1, 2**28))
        held[-1].write(b"\x01" * 2**28)
    print(2**28 * len(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
