from __future__ import annotations

from pathlib import Path

from sae.figure import Figure, Measured
from sae.run.summary import beside_pca, closing_lines, heading, rounded, rows, table

FIGURES = {
    "sse": Measured(Figure("{part} SSE per image"), 12.345),
    "val_error": Measured(Figure("{part} error", "{:.1f} %"), 3.21, "validation"),
}


def test_the_table_has_a_line_for_each_figure():
    seconds = {"stage1": 1.25, "finetune": 2.5, "total": 3.75}
    assert table(heading("digits", "64→8→64", 3), FIGURES, seconds).splitlines() == [
        "digits · 64→8→64 · seed 3",
        "-" * 53,
        "  test SSE per image   12.35",
        "  validation error     3.2 %",
        "  seconds              3.8 (stage1 1.2, finetune 2.5)",
        "-" * 53,
    ]


def test_without_times_there_is_no_line_of_them():
    assert rows(FIGURES) == [("test SSE per image", "12.35"), ("validation error", "3.2 %")]
    assert table("nothing", {}).splitlines() == ["nothing", "-------", "-------"]


def test_the_last_line_names_the_folder_and_the_others_what_to_type(tmp_path):
    folder = tmp_path / "lightning_logs" / "my run" / "version_0"
    lines = closing_lines(folder, folder / "best.ckpt").splitlines()
    assert lines == [
        "see it:     tensorboard --logdir lightning_logs --host localhost",
        "on a page:  python cli.py report --run 'lightning_logs/my run/version_0'",
        "run: lightning_logs/my run/version_0",
    ]
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    lines = closing_lines(folder, folder / "best.ckpt").splitlines()
    assert len(lines) == 4
    assert "test again: python cli.py test --config 'lightning_logs/my run" in lines[1]
    assert Path("lightning_logs/my run/version_0/best.ckpt").exists()


def test_figures_are_written_down_with_six_digits():
    found = rounded({"sse": 12.3456789, "small": 1.23456789e-7, "none": None, "n": 3})
    assert found == {"sse": 12.3457, "small": 1.23457e-7, "none": None, "n": 3.0}


def test_it_is_said_where_pca_does_better():
    sse = Figure("{part} SSE per image")
    worse = {"sse": Measured(sse, 2.0), "pca_sse": Measured(sse, 0.5)}
    (line,) = beside_pca(worse, 3, lambda text: text.replace("image", "sample"))
    assert line.startswith(
        "PCA-3 rebuilds the test samples better (0.5 instead of 2 SSE per sample)"
    )
    assert beside_pca({**worse, "sse": Measured(sse, 0.5)}, 3) == []
    assert beside_pca({"sse": worse["sse"]}, 3) == []


def test_what_restores_is_compared_by_its_restorations():
    sse, psnr = Figure("test SSE per image"), Figure("PSNR, dB")
    clean = {"sse": Measured(sse, 5.9), "pca_sse": Measured(sse, 3.3)}
    restored = {**clean, "restored_psnr": Measured(psnr, 21.3), "pca_psnr": Measured(psnr, 16.9)}
    assert beside_pca(restored, 3) == []
    (line,) = beside_pca({**restored, "pca_psnr": Measured(psnr, 22.0)}, 3)
    assert line.startswith("PCA-3 restores the test images better (22 instead of 21.3 dB);")
    del restored["pca_psnr"]
    assert beside_pca(restored, 3) == []
