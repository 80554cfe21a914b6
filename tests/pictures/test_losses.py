from __future__ import annotations

from helpers import metrics_of

from sae.pictures import losses

PHASES = [("stage1", "stage 1/1 12→6", 0), ("finetune", "fine-tune 12→6→12", 3)]
PCA = ("PCA-6\nof the pixels", 2.0)


def test_the_epochs_of_all_phases_lie_on_one_axis():
    rows = ["stage1,0,9,8,8", "stage1,1,7,6,6", "finetune,0,5,4,4", "finetune,1,4,,"]
    numbers = losses.numbers(metrics_of(rows), PHASES, "tiny", PCA)
    assert numbers["epoch"].tolist() == [1, 2, 4, 5]
    above, below = losses.draw(numbers).axes
    lines = [line.get_xydata().tolist() for line in above.lines]
    assert [[1, 8], [2, 6]] in lines
    assert [[4, 4]] in lines, "an epoch without validation has no point"
    assert [[4, 5], [5, 4]] in [line.get_xydata().tolist() for line in below.lines]
    words = [text.get_text() for text in above.texts]
    assert "6.00" in words
    assert "4.00" in words
    assert "PCA-6\nof the pixels\n2.00" in words


def test_a_path_without_rows_is_drawn_too():
    numbers = losses.numbers({}, PHASES, "tiny", PCA)
    assert losses.draw(numbers).axes


def test_the_line_of_pca_and_the_borders_of_phases():
    rows = ["stage1,0,9,8,8", "stage1,1,7,6,6", "finetune,0,5,4,4"]
    phases = [("stage1", "stage 1/1 12→6", 0), ("finetune", "fine-tune 12→6→12", 2)]
    numbers = losses.numbers(metrics_of(rows), phases, "tiny", ("PCA-6", 5.5))
    above, below = losses.draw(numbers).axes
    level = [line for line in above.lines if list(line.get_xdata()) == [0, 1]]
    assert [list(line.get_ydata()) for line in level] == [[5.5, 5.5]]
    for axis in (above, below):
        borders = [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == [0, 1]]
        assert borders == [2.5]
