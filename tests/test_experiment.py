from __future__ import annotations

from pathlib import Path

import pytest
from helpers import fit, read
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sae.callbacks.metrics_csv import read_metrics
from sae.data import DigitsDataModule
from sae.data.prepare import read_preparation
from sae.training.stacked import StackedAutoencoder

CHAIN = "784→12→4→12→784"


def test_a_run_leaves_everything_in_its_folder(finished):
    folder, _ = finished
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for phase in ("stage1", "stage2", "finetune"):
        for name in ("codes", "reconstructions", "features", "activity"):
            assert {f"{phase}/{name}.png", f"{phase}/{name}.npz"} <= names
        assert f"{phase}/checkpoints/best.ckpt" in names
    for name in ("interpolation", "nearest", "first_layer"):
        assert {f"finetune/{name}.png", f"finetune/{name}.npz"} <= names
    assert {"finetune/codes.csv", "losses.png", "losses.npz", "scatter.png", "scatter.npz"} <= names
    assert {"config.yaml", "manifest.json", "metrics.csv", "summary.json"} <= names


def test_the_preparation_lies_beside_the_weights(finished):
    folder, _ = finished
    found = read_preparation(folder / "preparation.safetensors")
    assert found.settings == {"divisor": 255}


def test_the_summary(finished):
    summary = read(finished[0], "summary.json")
    assert (summary["data"], summary["code_size"], summary["seed"]) == ("digits", 4, 0)
    assert set(summary["test"]) == {"sse", "mse", "pca_sse", "knn_accuracy"}
    assert summary["test"]["sse"] == pytest.approx(784 * summary["test"]["mse"], rel=1e-4)
    assert 0 < summary["test"]["pca_sse"] < summary["test"]["sse"]
    assert 10 < summary["test"]["knn_accuracy"] <= 100
    seconds = summary["seconds"]
    assert list(seconds) == ["stage1", "stage2", "finetune", "total"]
    assert seconds["total"] == pytest.approx(sum(seconds.values()) / 2, rel=1e-4)


def test_the_health_of_each_phase(finished, capsys):
    folder, _ = finished
    health = read(folder, "summary.json")["health"]
    assert list(health) == ["stage1", "stage2", "finetune"]
    assert all(0 <= health[phase]["dead"] <= 1 for phase in health)
    assert 0 < health["finetune"]["loss_ratio"] < 2
    capsys.readouterr()
    fit("--pretrain.lr", "1e-9")
    line = "warning: stage 1 reconstructs no more than the mean image: its squared error is"
    assert line in capsys.readouterr().out


def test_the_manifest(finished):
    manifest = read(finished[0], "manifest.json")
    assert manifest["status"] == "finished"
    assert manifest["data"]["name"] == "digits"
    assert [phase["name"] for phase in manifest["phases"]] == ["stage1", "stage2", "finetune"]
    assert all((finished[0] / phase["checkpoint"]).is_file() for phase in manifest["phases"])


def test_the_metrics_of_all_phases(finished):
    metrics = read_metrics(finished[0] / "metrics.csv")
    assert list(metrics) == [
        (phase, epoch) for phase in ("stage1", "stage2", "finetune") for epoch in (0, 1)
    ]
    assert all(row["train/loss"] > 0 and row["val/loss"] > 0 for row in metrics.values())


def test_what_it_prints(finished):
    folder, out = finished
    lines = [line for line in out.splitlines() if not line.startswith("warning: ")]
    assert lines[0].startswith("stage 1/2 784→12: 2 epochs in ")
    assert lines[1].startswith("stage 2/2 12→4: 2 epochs in ")
    assert lines[2].startswith(f"fine-tune {CHAIN}: 2 epochs in ")
    assert lines[2].endswith("(overall 6/6)")
    test = read(folder, "summary.json")["test"]
    assert f"test SSE per image                   {test['sse']:.2f}" in out
    assert f"PCA-4, test SSE per image            {test['pca_sse']:.2f}" in out
    assert "scikit-learn's bundled digits" in out
    assert "tensorboard --logdir lightning_logs" in out
    assert lines[-1] == "run: lightning_logs/digits/version_0"


def test_tensorboard_holds_each_stage_under_its_name(finished):
    for phase in ("stage1", "stage2", "finetune"):
        board = EventAccumulator(str(finished[0] / phase)).Reload()
        scalars = set(board.Tags()["scalars"])
        assert {f"{phase}/train/loss", f"{phase}/val/loss", f"{phase}/val/sse"} <= scalars
        assert {f"{phase}/codes", f"{phase}/reconstructions"} <= set(board.Tags()["images"])
        assert [event.step for event in board.Scalars(f"{phase}/val/loss")] == [19, 39]
    assert "test/sse" in EventAccumulator(str(finished[0])).Reload().Tags()["scalars"]


def test_early_stopping_ends_a_stage_and_not_the_next():
    wild = ["--pretrain.epochs", "9", "--pretrain.lr", "5", "--pretrain.patience", "1"]
    epochs = [phase["epochs"] for phase in read(fit(*wild), "manifest.json")["phases"]]
    assert 2 <= epochs[0] < 9
    assert 2 <= epochs[1] <= 9


def test_a_diverged_run_ends_in_a_sentence_and_says_so_in_the_manifest(capsys):
    wild = ["--finetune.lr", "1e30", "--finetune.optimizer", "sgd", "--model.activation", "relu"]
    with pytest.raises(SystemExit) as end:
        fit(*wild, "--model.output", "linear")
    assert end.value.code == 2
    assert "finetune: expected a finite" in capsys.readouterr().err
    folder = Path("lightning_logs/digits/version_0")
    assert read(folder, "manifest.json")["status"] == "diverged"
    assert [phase["name"] for phase in read(folder, "manifest.json")["phases"]] == [
        "stage1",
        "stage2",
    ]


def test_pictures_summary_and_checkpoint_show_the_best_weights_not_the_last(capsys):
    wild = ["--finetune.lr", "0.1", "--finetune.schedule", "constant", "--finetune.epochs", "8"]
    for seed in range(5):  # which seeds end worse than they were depends on the machine's last bits
        folder = fit(*wild, "--model.sizes", "[784, 12, 2]", "--seed_everything", str(seed))
        metrics = read_metrics(folder / "metrics.csv")
        losses = [row["val/loss"] for (phase, _), row in metrics.items() if phase == "finetune"]
        if min(losses) < losses[-1]:
            break
    assert min(losses) < losses[-1], "the best epoch must not be the last, or this shows nothing"
    assert f"validation loss {min(losses):.3f} SSE per image" in capsys.readouterr().out
    assert read(folder, "summary.json")["val"]["sse"] == pytest.approx(min(losses), rel=1e-4)
    model = StackedAutoencoder.load_from_checkpoint(
        folder / "finetune/checkpoints/best.ckpt", weights_only=True
    )
    data = DigitsDataModule()
    data.setup()
    codes = model.encode(data.val.x[:1].float() / 255)[0].tolist()
    first = (folder / "finetune" / "codes.csv").read_text().splitlines()[1].split(",")
    assert [float(value) for value in first[-2:]] == pytest.approx(codes, rel=1e-4)
