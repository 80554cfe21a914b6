"""The stacked autoencoder, fine-tuned as one to reconstruct, or for another objective."""

from __future__ import annotations

from typing import Any, Literal

from sae import kinds
from sae.data.prepare import Preparation
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.objectives.reconstruct import Reconstruct
from sae.training.module import TrainingModule
from sae.training.recipe import Recipe


class StackedAutoencoder(TrainingModule):
    """Encoders AE1…AEn in order, their decoders in reverse.

    The decoder of a layer ends in the unit of the encoder below it, so that it can rebuild what
    that encoder gives; the first one ends in ``output``.

    Args:
        sizes: Units from the input to the code: [784, 256, 128] is 784→256→128→256→784. On the
            command line the first may be auto, the features of the data; with auto in place of
            the list, or none, the others are chosen, too (784, 256, 64).
        activation: Of all encoder layers, or a list with one for each: sigmoid, tanh, relu,
            leaky_relu, gelu, silu, identity.
        linear_code: No activation on the last encoder layer.
        output: Output unit on pixels: sigmoid for inputs in [0, 1], linear for any; null is
            sigmoid, but linear for tables whose numbers are scaled to other ranges.
        loss: mse (squared error per image) or bce (cross-entropy per image, from logits; needs a
            sigmoid output). Stages whose output unit is no sigmoid use mse.
        tied: The decoders use the encoders' weights, transposed.
        input_shape: In place of sizes, with layers: the shape of an input, such as [28, 28]. On
            the command line auto, or none, is that of the data.
        layers: In place of sizes, layers of any kind, the lowest first: {kind: dense, units: 128},
            or class_path and init_args of your own. What one does not say, the settings above do.
        objective: What it is fine-tuned for, a mapping or a name, such as classify; null to
            reconstruct.

    Raises:
        InputError: A value is unknown, or the values do not fit each other.
    """

    def __init__(
        self,
        sizes: list[int | Literal["auto"]] | Literal["auto"] | None = None,
        activation: str | list[str] = "sigmoid",
        linear_code: bool = False,
        output: str | None = None,
        loss: str = "mse",
        tied: bool = False,
        input_shape: list[int] | Literal["auto"] | None = None,
        layers: list[kinds.Settings] | None = None,
        objective: kinds.Settings | None = None,
    ) -> None:
        chosen = output is not None
        output = "sigmoid" if output is None else output
        stack = build_stack(sizes, activation, linear_code, output, loss, tied, input_shape, layers)
        aim: Objective = Reconstruct()
        if objective is not None:
            aim = kinds.build(objective, "sae.objectives", Objective, "objective")
        super().__init__(stack, Stack(), Recipe(), "finetune", seed=0, objective=aim)
        self.save_hyperparameters(ignore=["objective"] if aim is objective else None)
        self.hparams["output"] = output
        self._output_is_chosen = chosen

    def suit(self, preparation: Preparation) -> None:
        """End in what the samples are made of: categories, and numbers of any range.

        Args:
            preparation: That of the samples, fitted.

        Raises:
            InputError: The loss does not suit them.
        """
        first = self.stack[0]
        first.columns = preparation.outputs
        self.words = preparation.words
        if preparation.bounded or self._output_is_chosen:
            return
        if self.hparams["loss"] == "bce":
            remedy = "choose --model.loss mse, or another --data.preparation"
            raise InputError("model.loss", "mse for numbers outside [0, 1]", "'bce'", remedy)
        self.hparams["output"] = "linear"
        first.output = self.stack.output = "identity"

    @property
    def stack(self) -> Stack:
        """The layers."""
        assert isinstance(self.net, Stack)
        return self.net

    @property
    def sizes(self) -> list[int]:
        """Units from the input to the code."""
        return self.stack.sizes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network, in one sentence."""
        saved: Any = checkpoint.get("hyper_parameters")
        try:
            network = {key: value for key, value in saved.items() if key != "objective"}
            same = [str(layer) for layer in build_stack(**network)] == [str(x) for x in self.stack]
            same = same and _kind(saved.get("objective")) == _kind(self.hparams.get("objective"))
        except (InputError, TypeError, AttributeError):
            same, saved = False, {}
        if not same:
            wanted = dict(self.hparams)
            found = {key: saved.get(key, "none") for key in wanted}
            differ = [key for key in wanted if found[key] != wanted[key]]
            raise InputError(
                "ckpt_path",
                "a checkpoint of " + ", ".join(f"{key} = {wanted[key]}" for key in differ),
                "one of " + ", ".join(f"{key} = {found[key]}" for key in differ),
                "use the config.yaml of the run that wrote the checkpoint",
            )
        super().on_load_checkpoint(checkpoint)


def _kind(objective: Any) -> str | None:
    """Which objective it is; its options may change from a training to a test."""
    return None if objective is None else kinds.name_of(objective, "objective")
