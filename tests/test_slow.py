from __future__ import annotations

import time

import pytest

from sae import slow


def test_only_slow_work_is_announced(monkeypatch, capsys):
    monkeypatch.setattr(slow, "AFTER", 0.05)
    with slow.said_if_slow("PCA of 3 samples"):
        time.sleep(0.5)
    assert capsys.readouterr() == ("", "PCA of 3 samples …\n")
    monkeypatch.setattr(slow, "AFTER", 5)
    with slow.said_if_slow("PCA of 3 samples"):
        pass
    with pytest.raises(ValueError, match="wrong"), slow.said_if_slow("more"):
        raise ValueError("wrong")
    assert capsys.readouterr() == ("", "")
