from __future__ import annotations

import logging
import os
import random
import signal
import warnings

import numpy as np
import pytest
import torch
from lightning import seed_everything
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from sae.estimators import AutoencoderTransformer
from sae.estimators.undisturbed import undisturbed
from sae.training.stage import Stage


def states():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()


def test_what_is_global_comes_back_after_an_error_too(monkeypatch):
    monkeypatch.setenv("PL_SEED_WORKERS", "0")
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # another test may have set it
    before = states()
    within = []

    def seed_and_fail():
        with undisturbed():
            seed_everything(1, workers=True)
            within.extend([states() != before, os.environ["PL_SEED_WORKERS"] == "1"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        seed_and_fail()
    assert within == [True, True]
    assert states() == before
    assert os.environ["PL_SEED_WORKERS"] == "0"
    assert "PL_GLOBAL_SEED" not in os.environ


def test_lightning_is_silent_and_others_are_not(caplog):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with caplog.at_level(logging.INFO, logger="lightning.pytorch"), undisturbed():
            rank_zero_info("GPU available: no")
            warnings.warn_explicit("a remark", UserWarning, "trainer.py", 1, "lightning.pytorch.x")
            warnings.warn("ours", stacklevel=2)
        assert [str(each.message) for each in told] == ["ours"]
        assert not caplog.records
        rank_zero_warn("theirs")
    assert len(told) == 2


def test_ctrl_c_is_what_it_was(monkeypatch):
    """Lightning would end the process, and has the key ignored meanwhile."""

    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(Stage, "training_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        AutoencoderTransformer().fit(np.eye(4))
    assert signal.getsignal(signal.SIGINT) is before


def test_an_exit_stays_an_exit():
    with pytest.raises(SystemExit), undisturbed():
        raise SystemExit(3)
