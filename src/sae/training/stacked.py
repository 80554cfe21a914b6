"""The stacked autoencoder: all layers in one model, fine-tuned for an objective."""

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

    The output unit of a decoder is the activation of the layer below, so that it can rebuild that
    layer's code; the lowest decoder ends in ``output``.

    Args:
        sizes: Units from the input to the code: [784, 256, 128] is 784→256→128→256→784. On the
            command line the first size may be auto: the number of features of the data. With auto
            instead of the list, or if it is left out, all sizes are chosen (such as 784, 256, 64).
        activation: Activation of all encoder layers, or a list with one for each: sigmoid, tanh,
            relu, leaky_relu, gelu, silu, identity.
        linear_code: Whether the last encoder layer has no activation.
        output: Output unit of the reconstruction: sigmoid for inputs in [0, 1], linear for any
            range. null means sigmoid, but linear for tables whose numbers have other ranges.
        loss: mse (squared error per image) or bce (cross-entropy per image, from logits; needs a
            sigmoid output). Stages whose output unit is not a sigmoid always use mse.
        tied: Whether the decoders use the encoders' weights, transposed.
        input_shape: Shape of an input, such as [28, 28], to use with layers. On the command line
            auto, or leaving it out, means the shape of the data.
        layers: Layers of any kind instead of sizes, the lowest first, such as {kind: dense,
            units: 128}, or the class_path and init_args of your own class. Options that a layer
            does not set have the values above.
        objective: Goal of the fine-tuning, a name such as classify, or a mapping; null to
            reconstruct.

    Raises:
        InputError: A value is unknown, or the values do not fit together.
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
        """Adapt the output to the samples: categories, and numbers of any range.

        Args:
            preparation: The fitted preparation of the samples.

        Raises:
            InputError: The loss cannot be used for these samples.
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
        """All layers."""
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
    """Return the name of an objective; its options may differ between training and test."""
    return None if objective is None else kinds.name_of(objective, "objective")
