from __future__ import annotations

import numpy as np
import pytest

from sae.pictures.numbers import save


def test_numbers_need_no_pickle(tmp_path):
    with pytest.raises(AssertionError):
        save(tmp_path / "x.npz", {"x": np.array([object()])})
