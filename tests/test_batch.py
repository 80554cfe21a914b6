from __future__ import annotations

import torch

from sae.batch import Batch, sent_ahead

X, Y = torch.arange(6.0).reshape(3, 2), torch.tensor([4, 5, 6])


def test_what_is_not_given_is_not_there():
    assert Batch(X)[1:] == (None, None, None)


def test_the_first_rows_of_all_that_there_is():
    first = Batch(X, Y, images=2 * X).rows(2)
    assert torch.equal(first.x, X[:2])
    assert first.y.tolist() == [4, 5]
    assert first.number is None
    assert torch.equal(first.images, 2 * X[:2])


def test_all_of_it_goes_to_a_device():
    sent = Batch(X, Y).to(torch.device("meta"))
    assert sent.x.is_meta
    assert sent.y.is_meta
    assert sent.number is None


def test_batches_sent_ahead_come_one_by_one_in_order():
    asked = []

    def batches():
        for k in range(3):
            asked.append(k)
            yield Batch(X + k, Y)

    sent = sent_ahead(batches(), torch.device("cpu"))
    assert torch.equal(next(sent).x, X)
    assert asked == [0], "on the CPU none is made before it is asked for"
    assert [batch.x[0, 0].item() for batch in sent] == [1, 2]
