from __future__ import annotations

import yaml
from exported import export_of, made, made_of_a_table

from sae.export.card import card


def test_it_says_what_the_run_has_left():
    run = made([{"kind": "dense", "units": 5}, {"kind": "topk", "units": 4, "k": 2}])
    run.summary["table"].append(["test SSE per image", "1.50"])
    text = card(export_of(run))
    head = yaml.safe_load(text.split("---")[1])
    assert head["library_name"] == "sae"
    assert head["tags"][2:] == ["dense", "topk"]
    assert "license" not in head, "that is the user's to choose"
    for words in (
        "`12→5→4→5→12`",
        "A code has 4 numbers.",
        "| 2 | `TopK(5→4, relu/tanh, mse, k=2)` |",
        "tiny images: 80 samples for training,",
        "A sample is a row of 12 numbers: the values from 0 to 255 of samples of 4x3",
        "| test SSE per image | 1.50 |",
        "rebuilt = run.reconstruct(x)",
        "choose a licence",
    ):
        assert words in text, words
    assert "predict" not in text
    assert "None" not in text


def test_of_a_classifier_it_names_the_classes_and_promises_no_reconstruction():
    text = card(export_of(made(objective="classify"), "classifier"))
    assert "The classes are low, middle, high." in text
    assert "run.predict(x)" in text
    assert "reconstruct(" not in text
    assert "it does not reconstruct samples" in text


def test_a_class_that_is_not_ours_is_named():
    text = card(export_of(made([{"class_path": "plugins.layer.Deep"}])))
    assert "a class from the module `plugins.layer`" in text


def test_of_a_table_it_names_the_columns():
    text = card(export_of(made_of_a_table()))
    assert "- size\n- colour: red, green, blue\n- year\n" in text
