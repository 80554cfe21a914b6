from __future__ import annotations

import dataclasses

import pytest
import torch
from exported import made, made_of_a_table
from helpers import tiny_data

from sae.export.compared import MOST, samples_of

DATA = {"class_path": "helpers.TinyDataModule", "init_args": {"n": 96}}


def with_data(named, fingerprint="?"):
    run = made()
    about = {**run.manifest["data"], "sha256": fingerprint}
    manifest = {**run.manifest, "data": about}
    return dataclasses.replace(run, config={**run.config, "data": named}, manifest=manifest)


def test_they_are_validation_samples_in_the_users_units():
    data = tiny_data()
    x, words = samples_of(with_data(DATA, data.fingerprint()))
    torch.testing.assert_close(x, data.val.x.float())
    assert words == "the first 16 validation samples of tiny"


@pytest.mark.parametrize(
    ("named", "why"),
    [
        (DATA, "the data of the run have changed"),
        (None, "a hub folder does not say where the data are"),
        ({"class_path": "helpers.Nothing"}, "the data of the run cannot be read"),
        ({"class_path": "helpers.TinyDataModule", "init_args": {"val_size": 999}}, "val_size"),
    ],
)
def test_else_they_are_drawn_and_it_is_said_why(named, why):
    x, words = samples_of(with_data(named))
    assert x.shape == (MOST, 12)
    assert 0 <= x.min() < 10
    assert 245 < x.max() <= 255
    assert words.startswith("256 random samples, uniform in the range of the inputs, because")
    assert why in words


def test_of_a_linear_output_they_are_drawn_from_a_gaussian():
    run = made(output="linear")
    x, words = samples_of(run)
    assert (x / 255).std() == pytest.approx(1, abs=0.05)
    assert "N(0, 1)" in words


def test_of_a_table_some_values_are_left_out_where_they_may_be():
    x, words = samples_of(made_of_a_table())
    assert words.endswith("a missing value in every second one")
    assert x.isnan().sum(dim=1).tolist() == [0, 1] * (MOST // 2)
    assert (x.isnan().sum(dim=0) > 0).all()
    assert not samples_of(made_of_a_table("error"))[0].isnan().any()
    assert set(x[::2, 1].tolist()) == {0.0, 1.0, 2.0}, "whole categories"
