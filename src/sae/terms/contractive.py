"""A penalty on how much the code changes with the input: the norm of the encoder's Jacobian.

Rifai, Vincent, Muller, Glorot & Bengio (2011), "Contractive Auto-Encoders: Explicit Invariance
During Feature Extraction", ICML, equations 3 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from sae.errors import InputError, check_number
from sae.figure import Figure
from sae.nets.activations import SLOPES
from sae.nets.dense import Dense
from sae.nets.layer import Autoencoder, Code
from sae.terms.term import Term


class Contractive(Term):
    """The penalty weight · ||J(x)||²_F with J = ∂h/∂x, averaged over the samples.

    It is computed exactly: for h = f(W x + b), with f applied to each unit separately,
    ||J(x)||²_F = Σ_j f'(z_j)² Σ_i W_ji² with z = W x + b. So it works only for stages of single
    dense layers: for several layers each sample would need a product of matrices.

    The network could avoid it with a small W and a large W': the paper ties them (``tied: true``).

    Args:
        weight: Weight of the penalty relative to the reconstruction loss, which is a sum over the
            inputs and a mean over the batch; 0 or more. (The paper's lambda.)

    Raises:
        InputError: The weight lies outside its range.
    """

    name: ClassVar[str] = "contractive"

    def __init__(self, weight: float = 0.1) -> None:
        check_number("weight", weight, 0.0, float("inf"), "give a weight such as 0.1")
        self.weight = weight

    def check_fits(self, net: Autoencoder) -> None:
        """Raise :class:`InputError` unless ``net`` is a dense layer with a separate f per unit."""
        if not isinstance(net, Dense) or not net.units_act_alone:
            raise InputError(
                "contractive",
                "one dense layer, whose Jacobian has a formula",
                f"a {type(net).__name__}",
                "use it only in pretrain, whose stages are single layers, and with dense layers",
            )

    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        """||J(x)||²_F, (1,)."""
        assert isinstance(net, Dense)
        slopes = SLOPES[net.activation](net.pre_activations(x).float())
        norms = net.weight.float().square().sum(dim=1)
        return (slopes.square().mean(dim=0) * norms).sum(dim=0, keepdim=True)

    def value(self, statistic: Tensor, epoch: int | None = None) -> Tensor:
        """The weighted norm, a scalar."""
        return self.weight * statistic[0]

    def shown(self, statistic: Tensor) -> dict[str, Tensor]:
        """``jacobian``: the squared norm."""
        return {"jacobian": statistic[0]}

    def figures(self) -> Mapping[str, Figure]:
        """See :class:`~sae.terms.term.Term`."""
        label = "squared norm of the encoder's Jacobian, {part}"
        return {"jacobian": Figure(label, "{:.3f}", better="")}
