from __future__ import annotations

import torch

from sae.nets.dense import Dense
from sae.nets.losses import cross_entropy, squared_error


def test_a_layer_uses_the_loss_it_is_told():
    x = torch.rand(3, 4)
    for loss, function in (("mse", squared_error), ("bce", cross_entropy)):
        layer = Dense(4, 2, loss=loss)
        h = layer.encode(x)
        rebuilt = layer.decode(h) if loss == "mse" else layer.decode_logits(h)
        torch.testing.assert_close(layer.reconstruction_loss(h, x), function(rebuilt, x))
