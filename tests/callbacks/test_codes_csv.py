from __future__ import annotations

import torch
from helpers import randomised, tiny_data, tiny_model
from lightning import Trainer

from sae.callbacks.codes_csv import CodesCSV

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def predicted(folder, names=()) -> tuple[list[list[str]], object]:
    model, data = tiny_model(objective="classify"), tiny_data()
    model.objective.attach(model.stack, 3)
    randomised(model)
    table = CodesCSV(folder, names)
    trainer = Trainer(callbacks=[table], enable_checkpointing=False, **QUIET)
    trainer.predict(model, data.predict_dataloader(), return_predictions=False)
    lines = table.path.read_text(encoding="utf-8").splitlines()
    return [line.split(",") for line in lines], model


def test_a_classifier_leaves_class_and_probability_beside_the_label(tmp_path):
    rows, model = predicted(tmp_path)
    assert rows[0] == ["label", "predicted", "probability", "h0", "h1", "h2"]
    x, y = tiny_data().test.x.float() / 255, tiny_data().test.y
    with torch.no_grad():
        odds = model.objective.logits(model.stack.encode(x)).softmax(1)
    assert [int(row[0]) for row in rows[1:]] == y.tolist()
    assert [int(row[1]) for row in rows[1:]] == odds.argmax(1).tolist()
    found = torch.tensor([float(row[2]) for row in rows[1:]])
    torch.testing.assert_close(found, odds.max(1).values, rtol=1e-4, atol=1e-5)


def test_classes_are_called_by_their_names(tmp_path):
    numbers, _ = predicted(tmp_path)
    names, _ = predicted(tmp_path, ["owl", "cat", 'dog "x"'])
    called = {"0": "owl", "1": "cat", "2": '"dog ""x"""'}
    for by_number, by_name in zip(numbers[1:], names[1:], strict=True):
        assert by_name[:2] == [called[by_number[0]], called[by_number[1]]]
        assert by_name[2:] == by_number[2:]
