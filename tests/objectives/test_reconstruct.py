from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from helpers import fit, place_of, tiny_model

from sae.batch import Batch
from sae.objectives.reconstruct import Reconstruct


def measured(loss: str, known: bool) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """The figures of a batch, the batch and its reconstruction."""
    model = tiny_model(loss=loss)
    x = torch.rand(20, 12, generator=torch.Generator().manual_seed(2))
    batch, place, aim = Batch(x), place_of(model, x, "val", 0), Reconstruct()
    with torch.no_grad():
        h = model.stack.encode(x)
        losses = aim.losses(model.stack, h, batch, place) if known else None
        return aim.measure(model.stack, h, batch, place, losses), x, model.stack.decode(h)


@pytest.mark.parametrize("known", [True, False])
def test_cross_entropy_is_given_in_nats_per_image_where_it_is_the_loss(known):
    figures, x, x_hat = measured("bce", known)
    expected = F.binary_cross_entropy(x_hat.double(), x.double(), reduction="sum") / 20
    assert figures["bce"].item() == pytest.approx(expected.item(), rel=1e-5)
    by_hand = -(x * x_hat.log() + (1 - x) * (1 - x_hat).log()).sum(dim=1).mean()
    assert figures["bce"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert figures["sse"].item() == pytest.approx(
        (x_hat - x).square().sum(dim=1).mean().item(), rel=1e-5
    )


@pytest.mark.parametrize("known", [True, False])
def test_squared_error_is_given_alone_where_it_is_the_loss(known):
    figures, x, x_hat = measured("mse", known)
    assert set(figures) == {"sse", "image_sse"}
    assert figures["sse"].item() == pytest.approx(
        (x_hat - x).square().sum(dim=1).mean().item(), rel=1e-5
    )


def test_the_summary_of_a_run_names_both(capsys):
    """Of clean images, also where the training corrupts them."""
    noise = ["--finetune.corruption", "{kind: masking, level: 0.3}"]
    folder = fit("--model.loss", "bce", "--pictures_every", "-1", *noise)
    summary = json.loads((folder / "summary.json").read_text())
    for part in ("test", "val"):
        # No less than the entropy of the grey pixels themselves, and far below that of a coin.
        assert 100 < summary[part]["bce"] < 784 * 0.693
        assert summary[part]["sse"] < summary[part]["bce"]
    assert "test cross-entropy per image, nats" in capsys.readouterr().out
