from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from helpers import fit, place_of, tiny_model

from sae.batch import Batch
from sae.nets.build import build_stack
from sae.nets.dense import Dense
from sae.nets.stack import Stack
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


def linear(n_in: int, weight: float, loss: str = "mse") -> Dense:
    """Halves or doubles: one unit for each feature, and back with the same weight."""
    layer = Dense(n_in, n_in, "identity", "identity", tied=True, loss=loss)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weight.copy_(weight * torch.eye(n_in))
    return layer


def test_loss_and_figures_against_hand_values():
    """A code of 2 x, rebuilt as 2 h: what of x is 1 is missed by 3, what is 2 by 6."""
    stack, x = Stack([linear(2, 2.0)]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    batch, place, aim = Batch(x), place_of(tiny_model(), x, "val", 0), Reconstruct()
    with torch.no_grad():
        h = stack.encode(x)
        losses = aim.losses(stack, h, batch, place)
        found = aim.finish(stack, aim.measure(stack, h, batch, place, losses))
        restored = aim.restored(stack, x + 1, batch)
        predicted = aim.predict(stack, batch)
    assert losses["loss"].item() == (9 + 36) / 2
    assert {name: value.item() for name, value in found.items()} == {
        "sse": 22.5,
        "image_sse": 22.5,
        "mse": 11.25,
    }
    assert predicted["sse"].tolist() == [9, 36]
    # 4·2 − 1, 4·1 − 0 of the first; 4·1 − 0, 4·3 − 2 of the second.
    assert restored["denoised_sse"].item() == (49 + 16 + 16 + 100) / 2
    assert restored["corrupted_sse"].item() == 2


@pytest.mark.parametrize("pixels", [False, True])
def test_a_stage_counts_its_loss_in_codes_or_in_pixels(pixels):
    """Codes 3 x of images; the layer doubles and halves nothing back: 4 times too much."""
    below, net = Stack([linear(2, 3.0)]), linear(2, 2.0)
    images = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    batch, aim = Batch(3 * images, images=images), Reconstruct.of_stage(below, pixels)
    place = place_of(tiny_model(), images, "val", 0)
    with torch.no_grad():
        h = net.encode(batch.x)
        losses = aim.losses(net, h, batch, place)
        found = aim.measure(net, h, batch, place, losses)
    # Codes 3 and 6 come back as 12 and 24; images 1 and 2 as 36 and 72.
    codes, in_pixels = (9**2 + 18**2) / 2, (35**2 + 70**2) / 2
    assert losses["loss"].item() == (in_pixels if pixels else codes)
    assert found["sse"].item() == codes
    assert found["image_sse"].item() == in_pixels


def test_the_unit_is_that_of_the_loss():
    nats = build_stack([4, 2], loss="bce")
    assert Reconstruct().unit(nats) == "nats per image"
    assert Reconstruct().unit(build_stack([4, 2])) == "SSE per image"
    upper = Dense(2, 1)
    assert Reconstruct.of_stage(nats, pixels=True).unit(upper) == "nats per image"
    assert Reconstruct.of_stage(nats).unit(upper) == "SSE per image"


def test_it_has_no_parameters_though_it_knows_layers():
    assert list(Reconstruct.of_stage(build_stack([4, 2]), pixels=True).parameters()) == []


def test_without_layers_below_there_is_one_way_to_count():
    assert not Reconstruct.of_stage(build_stack([4, 2]).below(0), pixels=True).pixels
