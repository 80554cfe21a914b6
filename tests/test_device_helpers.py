"""The helpers of :mod:`sae.devices` by themselves; with all else they are tried in test_devices."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from helpers import loader, tiny_data, tiny_model, tiny_stack

from sae import batch
from sae.batch import Batch, sent_ahead
from sae.cli.command import main
from sae.data import TensorLoader
from sae.data import loader as loader_module
from sae.data.rows import EncodedRows
from sae.devices import about, beside, device_of, fast_products, placed
from sae.nets.dense import Dense
from sae.nets.stack import Stack
from sae.run import folder as run
from sae.training import handover as codes_module
from sae.training.module import TrainingModule
from sae.training.pretrain import GreedyPretrainer, plain_trainer
from sae.training.recipe import Recipe

META, CUDA = torch.device("meta"), torch.device("cuda", 0)
precision = torch.get_float32_matmul_precision


def test_inputs_come_to_the_weights():
    net = tiny_stack().to(META)
    assert device_of(net) == beside(net, torch.zeros(2, 12)).device == META
    x = torch.zeros(2, 12)
    assert beside(Stack(), x) is x, "the identity takes them where they are"


class Elsewhere(torch.nn.Linear):
    """A network that is moved by name only: it notes where to."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.moves: list[str] = []

    def to(self, device):
        self.moves.append(str(device))
        return self


def test_a_network_that_was_placed_goes_back_also_after_an_error():
    net = Elsewhere()
    with pytest.raises(AttributeError), placed(net, "meta"):
        net.no_such_layer()
    assert net.moves == ["meta", "cpu"]
    for device in ("cpu", None):
        with placed(net, device):
            pass
    assert net.moves == ["meta", "cpu"], "where it is there already nothing moves"


@pytest.fixture
def a_gpu(monkeypatch) -> list[str]:
    """A GPU in name: what is asked of it, in order."""
    asked: list[str] = []

    class Stream:
        def __init__(self, device) -> None:
            self.device = device

        def wait_stream(self, other) -> None:
            asked.append("wait")

    @contextmanager
    def stream(aside):
        yield

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, here: asked.append("keep"))

    def send(x, device):
        asked.append(f"send {int(x[0])}")
        return x

    monkeypatch.setattr(batch, "send", send)
    return asked


def test_a_batch_is_sent_while_the_one_before_it_is_worked_on(a_gpu):
    batches = [Batch(torch.full((2,), k)) for k in range(3)]
    for k, given in enumerate(sent_ahead(batches, CUDA)):
        assert given.x is batches[k].x, "in their order"
        a_gpu.append(f"work {k}")
    steps = ["send 0", "wait", "keep", "send 1", "work 0", "wait", "keep", "send 2", "work 1"]
    assert a_gpu == [*steps, "wait", "keep", "work 2"]
    assert list(sent_ahead([], CUDA)) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kept", [True, False])
def test_batches_sent_to_a_gpu_are_those_of_the_cpu(kept, monkeypatch):
    if not kept:
        monkeypatch.setattr(loader_module, "free_memory", lambda device: 0)
    x = torch.randint(0, 256, (500, 12), dtype=torch.uint8)
    here = TensorLoader(x, torch.arange(500), batch_size=33, shuffle=True, seed=1)
    for _ in range(3):
        for ours, theirs in zip(here.on(CUDA), here, strict=True):
            assert ours[0].is_cuda
            assert all(torch.equal(a.cpu(), b) for a, b in zip(ours[:3], theirs[:3], strict=True))
    assert here.on(CUDA).x.is_cuda == kept


def test_batches_that_are_sent_are_scaled_there(monkeypatch):
    """A quarter of what floats would take is copied."""
    sent = []
    monkeypatch.setattr(loader_module, "sent_ahead", lambda b, d: sent.append(list(b)) or sent[0])
    monkeypatch.setattr(loader_module, "free_memory", lambda device: 0)
    x = torch.full((3, 2), 255, dtype=torch.uint8)
    (given,) = TensorLoader(x, torch.arange(3), batch_size=3).on(CUDA)
    assert [part.dtype for part in sent[0][0][:2]] == [torch.uint8, torch.int64]
    assert torch.equal(given.x, torch.ones(3, 2))


def test_codes_are_exchanged_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(loader_module, "CHUNK", 4)
    for name, value in (("get_world_size", 3), ("get_backend", "gloo")):
        monkeypatch.setattr(codes_module.dist, name, lambda value=value: value)
    told = []
    monkeypatch.setattr(codes_module.dist, "broadcast", lambda x, src: told.append((src, len(x))))
    codes_module._exchange(torch.zeros(22, 3), loader(22))
    assert told == [(0, 4), (0, 4), (1, 4), (1, 4), (2, 4), (2, 2)]


def test_codes_that_are_not_kept_do_not_move_their_layer_for_each_batch(monkeypatch):
    layer, moves = Dense(12, 3), []
    rows = EncodedRows(torch.rand(10, 12), layer, "cpu")
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: moves.append(device))
    assert rows[0:3].shape == (3, 3)
    assert moves == []


# TF32


def as_torch_starts() -> None:
    """No precision chosen, by either way."""
    torch.set_float32_matmul_precision("highest")
    for way in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
        way.fp32_precision = "none"


@pytest.fixture
def untouched():
    """Precision as torch has it at its start."""
    as_torch_starts()
    yield
    as_torch_starts()


@pytest.fixture
def seen(untouched, monkeypatch) -> list[str]:
    """The precision of each step."""
    found, step = [], TrainingModule.training_loss
    monkeypatch.setattr(
        TrainingModule,
        "training_loss",
        lambda self, *args: found.append(precision()) or step(self, *args),
    )
    return found


def test_a_fit_from_python_uses_tf32_and_leaves_the_precision_as_it_was(seen):
    data, recipe = tiny_data(), Recipe(epochs=1)
    pretrainer = GreedyPretrainer([recipe] * 2, recipe, plain_trainer)
    pretrainer.fit(tiny_model(), data.train_dataloader(), data.val_dataloader())
    assert set(seen) == {"high"}
    assert precision() == "highest"


def test_the_command_line_leaves_the_precision_as_it_was(untouched):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert precision() == "highest"


def test_a_precision_that_was_chosen_stays(untouched):
    torch.set_float32_matmul_precision("medium")
    with fast_products():
        assert precision() == "medium"
    assert precision() == "medium"
    of_torch = torch.backends.cuda.matmul
    for chosen in ("tf32", "ieee"):  # torch's newer way, which does not go with the older
        as_torch_starts()
        of_torch.fp32_precision = chosen
        with fast_products():
            assert of_torch.fp32_precision == chosen
        assert of_torch.fp32_precision == chosen


def test_a_second_fit_finds_what_the_first_one_found(untouched):
    for _ in range(2):
        with fast_products():
            assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        assert torch.backends.cuda.matmul.fp32_precision == "none"


# What a manifest says


@pytest.mark.parametrize(
    ("capability", "hip", "chosen", "tf32"),
    [
        ((9, 0), None, "high", "on"),
        ((9, 0), None, "highest", "off"),
        ((7, 5), None, "high", "off"),
        ((9, 4), "6.0", "high", "off"),
    ],
)
def test_surroundings_name_the_gpu_and_whether_tf32_is_on(
    capability, hip, chosen, tf32, untouched, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    torch.set_float32_matmul_precision(chosen)
    assert about(CUDA) == {"gpu": "a GPU", "tf32": tf32}
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=CUDA), world_size=1)
    found = run.surroundings(trainer)
    assert (found["device"], found["gpu"], found["tf32"]) == ("cuda", "a GPU", tf32)


def test_surroundings_of_a_cpu_name_no_gpu():
    trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device("cpu")), world_size=1
    )
    assert not {"gpu", "tf32"} & run.surroundings(trainer).keys()
