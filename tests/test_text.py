from __future__ import annotations

from sae.text import megabytes


def test_sizes_for_people():
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 12_345_678_901: "12.3 GB"}
    assert {n: megabytes(n) for n in sizes} == sizes
    assert megabytes(5e15) == "5000.0 TB"
