"""A run that was interrupted goes on as if it had not been, or says why it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, SHORT, fit, read
from killing import at_call, differences, outcome, run, while_writing
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sae.callbacks.checkpoints import BestWeights
from sae.callbacks.metrics_csv import MetricsCSV
from sae.cli.command import main
from sae.run.checkpoint_io import WholeFileIO, read_weights
from sae.training.module import TrainingModule

CONFIG = ["fit", "--config", str(ROOT / "configs" / "digits.yaml"), *SHORT]
FOLDER = Path("lightning_logs/digits/version_0")


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory) -> Path:
    """The folder of a run that nothing happened to."""
    where = tmp_path_factory.mktemp("unbroken")
    assert run(CONFIG, where) == 0
    return where / FOLDER


@pytest.fixture(scope="session")
def killed(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("killed")
    assert run(CONFIG, where, at_call(WholeFileIO, "save_checkpoint", 12)) == -signal.SIGKILL
    time.sleep(1)  # event files are read by their names, which count seconds: the next one is later
    return where / FOLDER


@pytest.fixture
def broken(killed) -> Path:
    """A run killed in its last epoch of fine-tuning."""
    shutil.copytree(killed, FOLDER)
    return FOLDER


def refused(capsys, *args: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*CONFIG, *args])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    return error


def test_finished_stages_are_not_trained_again(broken, unbroken, capsys, monkeypatch):
    trained = []
    step = TrainingModule.training_loss
    monkeypatch.setattr(
        TrainingModule,
        "training_loss",
        lambda self, *args: trained.append((self.phase, self.current_epoch)) or step(self, *args),
    )
    main([*CONFIG, "--resume", "auto"])
    assert set(trained) == {("finetune", 1)}
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"resume: {broken}"
    assert out[1] == "stage 1/2 784→12: done before (2 epochs)"
    assert out[3] == "fine-tune 784→12→4→12→784: continues after epoch 1"
    assert out[4].startswith("fine-tune 784→12→4→12→784: 2 epochs in ")
    assert not differences(outcome(unbroken), outcome(broken))


def test_the_folder_alone_will_do_wherever_it_lies_now(broken, unbroken):
    shutil.move("lightning_logs", "elsewhere")
    main(["fit", "--resume", "elsewhere/digits/version_0"])
    assert not differences(outcome(unbroken), outcome(Path("elsewhere/digits/version_0")))
    assert not Path("lightning_logs").exists()


def test_auto_starts_a_new_run_where_none_is_unfinished(capsys):
    folder = fit("--resume", "auto")
    assert folder == FOLDER
    line = "resume: no unfinished run of 'digits' and this config; this is a new one"
    assert capsys.readouterr().out.startswith(line)
    assert fit("--resume", "auto").name == "version_1", "a finished run is not taken up"


def test_auto_takes_the_newest_unfinished_run_of_the_config(broken, unbroken, capsys):
    shutil.copytree(broken, broken.with_name("version_3"))
    shutil.copytree(unbroken, broken.with_name("version_11"))
    other = ["--finetune.lr", "0.1"]
    plan = at_call(TrainingModule, "training_loss", 5)
    assert run([*CONFIG, *other], Path.cwd(), plan) == -signal.SIGKILL
    main([*CONFIG, "--resume", "auto"])
    assert capsys.readouterr().out.startswith(f"resume: {broken.with_name('version_3')}\n")


@pytest.mark.parametrize(
    ("args", "key", "was", "found"),
    [
        (["--finetune.lr", "0.1"], "finetune.lr", "0.005", "0.1"),
        (["--model.activation", "tanh"], "model.activation", "'sigmoid'", "'tanh'"),
        (["--data.batch_size", "32"], "data.init_args.batch_size", "64", "32"),
        (["--trainer.precision", "bf16-mixed"], "trainer.precision", "nothing", "'bf16-mixed'"),
        (["--seed_everything", "1"], "seed_everything", "0", "1"),
        (["--trainer.enable_checkpointing", "false"], "trainer.enable_checkp", "True", "False"),
        (["--pretrain.corruption", '{"kind": "masking", "level": 0.1}'], "pretrain.corr", "", ""),
    ],
)
@pytest.mark.parametrize("which", ["auto", str(FOLDER)])
def test_a_config_that_differs_where_it_matters_is_refused(
    broken, args, key, was, found, which, capsys
):
    # An older filelock writes nothing into its file, too, but touches it.
    files = [path for path in broken.rglob("*") if path.name != ".lock"]
    before = {path: path.stat().st_mtime_ns for path in files}
    error = refused(capsys, *args, "--resume", which)
    assert error.startswith(f"error: {key}")
    assert f"expected {was}" in error
    assert f"found {found}" in error
    after = {path for path in broken.rglob("*") if path.name != ".lock"}
    assert {path: path.stat().st_mtime_ns for path in after} == before


def test_a_config_that_differs_where_it_does_not_matter_goes_on(broken, unbroken):
    args = ["--pictures_every", "-1", "--trainer.enable_progress_bar", "false"]
    main([*CONFIG, *args, "--trainer.log_every_n_steps", "7", "--resume", "auto"])
    wanted, found = outcome(unbroken), outcome(broken)
    asked_for = {"finetune/train/step_loss"}
    assert set(differences(wanted, found)) <= {*wanted["images"], *wanted["files"], *asked_for}


def test_other_images_are_refused(broken, capsys):
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["data"]["sha256"] = "0"
    (broken / "manifest.json").write_text(json.dumps(manifest))
    message = "error: data: expected the images that the run began with"
    assert refused(capsys, "--resume", "auto").startswith(message)


SHAPES = {
    "a list": [],
    "no settings": {"settings": None},
    "no data": {"data": {}},
    "no phases": {"phases": None},
    "half a phase": {"phases": [{"name": "stage1"}]},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_manifest_of_another_shape_is_refused_by_name_and_passed_over_by_auto(
    shape, broken, capsys
):
    manifest = json.loads((broken / "manifest.json").read_text())
    old = broken.with_name("version_7")
    shutil.copytree(broken, old)
    changed = shape if isinstance(shape, list) else manifest | shape
    (old / "manifest.json").write_text(json.dumps(changed))
    shutil.copytree(broken, broken.with_name("version_0_backup"))
    error = refused(capsys, "--resume", str(old))
    assert "expected the manifest of a run" in error
    main([*CONFIG, "--resume", "auto"])
    assert capsys.readouterr().out.startswith(f"resume: {broken}\n")


@pytest.mark.parametrize("damage", ["nowhere", "finished", "no json", "lacks"])
def test_a_folder_that_cannot_go_on_is_refused(damage, unbroken, broken, capsys):
    manifest = broken / "manifest.json"
    if damage == "finished":
        manifest.write_text((unbroken / "manifest.json").read_text())
    elif damage == "no json":
        manifest.write_text(manifest.read_text()[:100])
    elif damage == "lacks":
        manifest.write_text("{}")
    folder = "nowhere" if damage == "nowhere" else str(broken)
    expected = {
        "nowhere": "resume: expected the folder of a run",
        "finished": "resume: expected an unfinished run",
        "no json": "expected a manifest, found a damaged one",
        "lacks": "expected the manifest of a run",
    }
    assert expected[damage] in refused(capsys, "--resume", folder)


def test_a_second_process_on_the_same_run_is_refused(tmp_path, capsys):
    # In fine-tuning the process stands still, and holds its run.
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        step = TrainingModule.training_loss

        def stand_still(self, *args):
            if self.phase == "finetune":
                Path("there").touch()
                time.sleep(600)
            return step(self, *args)

        TrainingModule.training_loss = stand_still  # type: ignore[method-assign]
        main(CONFIG)
    try:
        for _ in range(600):
            time.sleep(0.1)
            if Path("there").exists():
                break
        error = refused(capsys, "--resume", "auto")
        assert f"expected a run that is not active, found process {pid} on" in error
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    main([*CONFIG, "--resume", "auto"])
    assert read(FOLDER, "manifest.json")["status"] == "finished"


def test_without_its_best_weights_a_phase_starts_over(broken, unbroken, capsys):
    (broken / "finetune" / "checkpoints" / "best.ckpt").unlink()
    main([*CONFIG, "--resume", "auto"])
    assert "starts over, because a checkpoint of it is not there" in capsys.readouterr().out
    assert not differences(outcome(unbroken), outcome(broken))


def test_metrics_that_are_gone_are_missed(broken, capsys):
    (broken / "metrics.csv").unlink()
    main([*CONFIG, "--resume", "auto"])
    line = "metrics.csv: shorter than when it was written, so its end is missing"
    assert line in capsys.readouterr().out


def test_without_fine_tuning_the_test_is_done_again_and_all_files_are_there(tmp_path):
    args = [*CONFIG, "--finetune.epochs", "0"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    assert run(args, tmp_path / "whole") == 0
    wanted = read_test(tmp_path / "whole" / FOLDER)
    for name, count in (("best.ckpt", 5), ("summary.json", 1)):
        folder, plan = tmp_path / "killed" / name, while_writing(name, count)
        folder.mkdir(parents=True)
        assert run(args, folder, plan) == -signal.SIGKILL
        assert run([*args, "--resume", "auto"], folder) == 0
        assert read_test(folder / FOLDER) == wanted


def read_test(folder: Path) -> tuple:
    board = EventAccumulator(str(folder / "finetune")).Reload()
    curves = {tag: [e.value for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    assert all(len(values) == 1 for values in curves.values())
    assert (folder / "finetune" / "checkpoints" / "best.ckpt").is_file()
    weights = read_weights(folder / "finetune" / "weights.safetensors")
    return curves, {name: tensor.tolist() for name, tensor in weights.items()}


@pytest.mark.parametrize("file", ["weights.safetensors", "checkpoints"])
@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_a_stage_that_does_not_hold_is_trained_anew_and_the_rest_with_it(
    file, damage, broken, unbroken, capsys
):
    """A checkpoint that is half written or damaged is never read."""
    phase = "stage1" if file == "weights.safetensors" else "finetune"
    path = broken / phase / file
    if file == "checkpoints":
        path /= "last.ckpt"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    main([*CONFIG, "--resume", "auto"])
    assert not differences(outcome(unbroken), outcome(broken))
    out = capsys.readouterr().out
    if phase == "stage1":
        assert "stage 1/2 784→12: trained again, because its weights are " in out
        assert "stage 2/2 12→4: 2 epochs in" in out
        assert (broken / "stage2.replaced_0" / "weights.safetensors").is_file(), "nothing is lost"
    else:
        assert "stage 2/2 12→4: done before" in out
        assert damage == "gone" or "starts over, because a checkpoint of it is" in out


def test_a_stage_whose_upstream_changed_is_trained_anew(broken, unbroken, capsys):
    """Stage 1 left other weights than those that stage 2 was trained on."""
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["phases"][1]["upstream_sha256"] = "0"
    (broken / "manifest.json").write_text(json.dumps(manifest))
    main([*CONFIG, "--resume", "auto"])
    out = capsys.readouterr().out
    assert "stage 1/2 784→12: done before" in out
    reason = "the weights below it are not those that it was trained on"
    assert f"stage 2/2 12→4: trained again, because {reason}" in out
    assert not differences(outcome(unbroken), outcome(broken))


def test_a_manifest_that_does_not_know_the_weights_redoes_them(broken, unbroken, capsys):
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["phases"][0]["weights_sha256"] = "0"
    (broken / "manifest.json").write_text(json.dumps(manifest))
    main([*CONFIG, "--resume", "auto"])
    line = "stage 1/2 784→12: trained again, because its weights are not those that it saved"
    assert line in capsys.readouterr().out
    assert not differences(outcome(unbroken), outcome(broken))


def test_a_checkpoint_from_other_weights_below_is_not_gone_on_from(broken, unbroken, capsys):
    path = broken / "finetune" / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["sae"]["upstream_sha256"] = "0"
    torch.save(content, path)
    main([*CONFIG, "--resume", "auto"])
    reason = "starts over, because the weights below it have changed"
    assert f"fine-tune 784→12→4→12→784: {reason}" in capsys.readouterr().out
    assert not differences(outcome(unbroken), outcome(broken))


@pytest.mark.long
def test_two_processes_go_on_too(tmp_path):
    """DDP: interrupted by Ctrl-C, gone on with, equal to an unbroken run of two processes."""
    two = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    command = [sys.executable, str(ROOT / "cli.py"), *CONFIG, "--data.batch_size", "101", *two]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("stage 2/2"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    subprocess.run([*command, "--resume", "auto"], check=True, timeout=200)
    subprocess.run(command, check=True, timeout=200)
    assert not differences(outcome(FOLDER.with_name("version_1")), outcome(FOLDER))


def test_a_manifest_cannot_reach_outside_its_folder(broken, tmp_path):
    victims = [tmp_path / "victim.csv", tmp_path / "victim" / "events.out.tfevents.1"]
    victims[1].parent.mkdir()
    for victim in victims:
        victim.write_text("not ours")
    manifest = json.loads((broken / "manifest.json").read_text())
    for victim in victims:
        manifest["phases"][0]["files"][os.path.relpath(victim, broken)] = 0
    manifest["phases"][0]["name"] = os.path.relpath(victims[1].parent, broken)
    (broken / "manifest.json").write_text(json.dumps(manifest))
    main([*CONFIG, "--resume", "auto"])
    assert [victim.read_text() for victim in victims] == ["not ours"] * 2


PATIENT = ["--finetune.epochs", "30", "--finetune.lr", "3", "--finetune.patience", "2"]


def test_early_stopping_and_the_best_weights_go_on(tmp_path):
    """Also where the stop was decided and the run killed before it was carried out."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run([*CONFIG, *PATIENT], whole) == 0
    wanted = outcome(whole / FOLDER)
    epochs = wanted["phases"][-1][1]
    assert epochs < 30, "it must stop early, or this shows nothing"
    killed.mkdir()
    for name, plan in {
        "before": at_call(MetricsCSV, "on_train_epoch_end", 4 + epochs),
        "after": at_call(BestWeights, "on_fit_end", 3),
    }.items():
        folder = killed / name
        assert run([*CONFIG, *PATIENT], folder, plan) == -signal.SIGKILL
        assert run([*CONFIG, *PATIENT, "--resume", "auto"], folder) == 0
        assert not differences(wanted, outcome(folder / FOLDER)), name


@pytest.mark.parametrize("moved", [False, True])
def test_the_best_weights_go_on_also_after_the_last_epoch(moved, tmp_path):
    """The run is killed when nothing is left to do but to load them."""
    wild = [*CONFIG, "--finetune.epochs", "4", "--finetune.lr", "1"]
    wild += ["--finetune.schedule", "constant"]
    assert run(wild, tmp_path / "whole") == 0
    wanted = outcome(tmp_path / "whole" / FOLDER)
    losses = [
        float(row["value"])
        for row in wanted["rows"]
        if (row["phase"], row["name"]) == ("finetune", "val/loss")
    ]
    assert min(losses) < losses[-1], "the best epoch must not be the last, or this shows nothing"
    killed = tmp_path / "killed"
    assert run(wild, killed, at_call(BestWeights, "on_fit_end", 3)) == -signal.SIGKILL
    if moved:
        (killed / "lightning_logs").rename(killed / "moved")
    folder = killed / ("moved" if moved else "lightning_logs") / "digits" / "version_0"
    assert run([*wild, "--resume", str(folder)], killed) == 0
    assert not differences(wanted, outcome(folder))


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_run_that_can_go_on_and_says_how(signum, code, unbroken):
    """As a user does it: real processes."""
    command = [sys.executable, str(ROOT / "cli.py"), *CONFIG]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("stage 1/2 784→12: 2 epochs")
    process.send_signal(signum)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.splitlines()[-1] == (
        f"interrupted; resume it with: python cli.py fit --resume {FOLDER}"
    )
    assert "Traceback" not in error
    assert read(FOLDER, "manifest.json")["status"] == "interrupted"
    assert run(["fit", "--resume", str(FOLDER)], Path.cwd()) == 0
    assert not differences(outcome(unbroken), outcome(FOLDER))


def test_weights_are_also_there_as_safetensors(unbroken):
    from safetensors.torch import load_file

    from sae.training.stacked import StackedAutoencoder

    model = StackedAutoencoder([784, 12, 4])
    model.stack.load_state_dict(load_file(unbroken / "finetune" / "weights.safetensors"))
    other = StackedAutoencoder.load_from_checkpoint(
        unbroken / "finetune" / "checkpoints" / "best.ckpt", weights_only=True
    )
    x = torch.rand(3, 784)
    assert torch.equal(model(x), other(x))


def test_the_saved_config_does_not_resume(unbroken):
    assert "resume" not in yaml.safe_load((unbroken / "config.yaml").read_text())
