from __future__ import annotations

import random
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pretend
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from sae.errors import InputError
from sae.estimators import AutoencoderClassifier, AutoencoderTransformer, estimator
from sae.training.pretrain import GreedyPretrainer

SHORT = {"pretrain_epochs": 1, "epochs": 2}


def table(n=80, features=6):
    """Samples on a curve in six dimensions."""
    t = np.random.RandomState(0).uniform(-2, 2, (n, 2))
    return np.column_stack([t, t**2, np.sin(t)])[:, :features]


def weights(estimator):
    return torch.cat([p.flatten() for p in estimator.stack_.parameters()])


def test_it_says_nothing_writes_nothing_and_leaves_what_is_global(capfd):
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoencoderTransformer(epochs=20, random_state=0).fit(table())
    assert capfd.readouterr() == ("", "")
    assert list(Path().iterdir()) == []
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])


def test_with_verbose_it_tells_of_each_training(capsys):
    AutoencoderTransformer((8, 2), **SHORT, verbose=1).fit(table())
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "stage 1/2 6→8",
        "stage 2/2 8→2",
        "fine-tune 6→8→2→8→6",
    ]
    assert "2 epochs in" in lines[-1]
    assert "overall 4/4" in lines[-1]


def test_a_seed_gives_the_same_network_and_a_generator_another_one_each_time():
    first, same = (AutoencoderTransformer(**SHORT, random_state=1).fit(table()) for _ in "ab")
    assert torch.equal(weights(first), weights(same))
    other = AutoencoderTransformer(**SHORT, random_state=2).fit(table())
    assert not torch.equal(weights(first), weights(other))
    drawn = AutoencoderTransformer(**SHORT, random_state=np.random.RandomState(1))
    one, two = weights(drawn.fit(table())), weights(drawn.fit(table()))
    assert not torch.equal(one, two)
    unseeded = AutoencoderTransformer(**SHORT)
    np.random.seed(5)
    one, two = weights(unseeded.fit(table())), weights(unseeded.fit(table()))
    np.random.seed(5)
    assert not torch.equal(one, two)
    assert torch.equal(weights(unseeded.fit(table())), one)


def test_single_precision_gives_what_double_gives_and_stays_single():
    encoder = AutoencoderTransformer(**SHORT, random_state=0).fit(table())
    double, single = encoder.transform(table()), encoder.transform(table().astype(np.float32))
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)
    assert encoder.inverse_transform(single).dtype == np.float32
    also = AutoencoderTransformer(**SHORT, random_state=0).fit(table().astype(np.float32))
    np.testing.assert_allclose(also.transform(table()), double, rtol=1e-3, atol=1e-4)


def test_the_default_sizes_and_batches_follow_the_table():
    codes = {1: 1, 2: 1, 3: 2, 5: 2, 8: 2, 10: 3, 64: 16, 784: 32}
    for features, code in codes.items():
        sizes = [min(256, max(32, 4 * features)), code]
        assert AutoencoderTransformer()._checked_sizes(features) == sizes
    assert AutoencoderClassifier()._checked_sizes(10) == [40, 20]
    batches = {n: AutoencoderTransformer()._checked_batch_size(n) for n in (1, 1797, 10**6)}
    assert batches == {1: 16, 1797: 71, 10**6: 256}


def test_options_reach_the_recipes(monkeypatch):
    seen = []

    def fit(self, model, train, val, labelled, n_classes):
        seen.append((self.stages, self.finetune_recipe, train.batch_size, model.sizes, self.seed))
        raise KeyboardInterrupt

    monkeypatch.setattr(GreedyPretrainer, "fit", fit)
    options = {"activation": "tanh", "noise": 0.25, "sparsity": 0.1, "lr": 0.02, "batch_size": 7}
    encoder = AutoencoderTransformer(np.array([5, 3]), **options, pretrain_epochs=np.int64(4))
    with pytest.raises(KeyboardInterrupt):
        encoder.set_params(epochs=6).fit(table())
    ((stages, finetune, batch, sizes, _seed),) = seen
    assert [(r.epochs, r.lr, r.corruption.level, r.sparsity.rho) for r in [*stages, finetune]] == [
        (4, 0.02, 0.25, 0.1),
        (4, 0.02, 0.25, 0.1),
        (6, 0.02, 0.25, 0.1),
    ]
    assert (finetune.corruption.kind, batch, sizes) == ("masking", 7, [6, 5, 3])


@pytest.mark.parametrize("sparsity", [0.05, 0.3])
def test_a_sparse_code_is_about_as_active_as_asked_for(sparsity):
    encoder = AutoencoderTransformer(
        (8,), activation="sigmoid", sparsity=sparsity, lr=0.03, epochs=60, random_state=0
    )
    activity = encoder.fit_transform(table()).mean()
    assert sparsity / 3 < activity < 3 * sparsity
    assert encoder.stack_.activation == "sigmoid"


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("sizes", 8, "8"),
        ("sizes", "64", "'64'"),
        ("sizes", (), "none"),
        ("sizes", (8, 0), "0"),
        ("sizes", (8, 2.0), "2.0"),
        ("activation", "swish", "'swish'"),
        ("scaler", "max", "'max'"),
        ("noise", 1.0, "1.0"),
        ("sparsity", 0.0, "0.0"),
        ("epochs", -1, "-1"),
        ("epochs", True, "True"),
        ("pretrain_epochs", 1.5, "1.5"),
        ("lr", 0, "0"),
        ("batch_size", "all", "'all'"),
        ("device", "toaster", "'toaster'"),
    ],
)
def test_an_option_that_cannot_be_is_named(option, value, found):
    with pytest.raises(InputError, match=option) as caught:
        AutoencoderTransformer(**{option: value}).fit(table())
    assert found in caught.value.found


def test_options_that_do_not_fit_each_other_are_named():
    with pytest.raises(InputError, match="sparsity"):
        AutoencoderTransformer(activation="silu", sparsity=0.1).fit(table())
    with pytest.raises(InputError, match="epochs"):
        AutoencoderTransformer(epochs=0, pretrain_epochs=0).fit(table())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(InputError, match="device cuda"):
        AutoencoderTransformer(**SHORT, device="cuda:1").fit(table())


def test_either_training_may_be_left_out():
    assert AutoencoderTransformer(epochs=0, pretrain_epochs=2).fit(table()).n_iter_ == 4
    assert AutoencoderTransformer(epochs=3, pretrain_epochs=0).fit(table()).n_iter_ == 3


def test_a_training_that_has_learnt_nothing_is_told_of():
    noise = np.random.RandomState(0).normal(size=(200, 40))
    with pytest.warns(ConvergenceWarning, match="hardly better than the mean") as caught:
        AutoencoderTransformer((8, 1), **SHORT, random_state=0).fit(noise)
    assert caught[0].filename == __file__


def test_values_beyond_single_precision_are_named():
    large = table()
    large[3, 2] = 1e300
    with pytest.raises(InputError, match="finite numbers"):
        AutoencoderTransformer(**SHORT, scaler="none").fit(large)


def trained_there():
    """What comes of a fit on a device that is none: whether all lies on the CPU."""
    estimator.Trainer = partial(estimator.Trainer, strategy=pretend.NAME)
    X, y = table(), (table()[:, 0] > 0).astype(int)
    found = AutoencoderClassifier(**SHORT, device=pretend.NAME, random_state=0).fit(X, y)
    tensors = [*found.stack_.state_dict().values(), *found.head_.state_dict().values()]
    return [type(x) is pretend.There for x in tensors], found.predict_proba(X), len(pretend.events)


@pytest.mark.skipif(bool(pretend.MISSING), reason=pretend.MISSING or "there is one")
def test_trained_on_another_device_it_lies_on_the_cpu(tmp_path):
    there, probabilities, events = pretend.run(trained_there, tmp_path)
    assert not any(there)
    assert events  # it was there
    X, y = table(), (table()[:, 0] > 0).astype(int)
    ours = AutoencoderClassifier(**SHORT, device="cpu", random_state=0).fit(X, y)
    np.testing.assert_allclose(probabilities, ours.predict_proba(X), atol=1e-6)
