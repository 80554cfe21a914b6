from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

CONFIG = """\
# ä, 配置, →
name: 第一次
model: {sizes: [784, 6]}
pretrain: {epochs: 0}
finetune: {epochs: 1}
data: {class_path: DigitsDataModule}
pictures_every: -1
trainer: {logger: false, enable_progress_bar: false}
"""
LOCALES = {
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "C.UTF-8, on a screen of ASCII": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
}


def run(*words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    return subprocess.run(command, env={**kept, **env}, capture_output=True, check=False)


@pytest.mark.parametrize("env", LOCALES.values(), ids=LOCALES)
def test_any_letters_in_a_config_and_in_names_whatever_the_locale(env):
    Path("配置.yaml").write_text(CONFIG, encoding="utf-8")
    done = run("fit", "--config", "配置.yaml", "--trainer.default_root_dir", "läufe", **env)
    assert done.returncode == 0, done.stderr.decode()
    folder = Path("läufe/lightning_logs/第一次/version_0")
    assert "name: 第一次" in (folder / "config.yaml").read_text(encoding="utf-8")
    *_, last = done.stdout.decode().splitlines()
    shown = "l?ufe/lightning_logs/???" if "PYTHONIOENCODING" in env else folder.parent
    assert last == f"run: {shown}/version_0"
