"""One stage of greedy pretraining: AEk, on the codes of the frozen stages below."""

from __future__ import annotations

from sae.data.loader import TensorLoader
from sae.nets.stack import Stack
from sae.objectives.reconstruct import Reconstruct
from sae.training.module import TrainingModule
from sae.training.recipe import Recipe


class Stage(TrainingModule):
    """Train layer ``index`` of a stack on the code of the layers below it.

    A batch holds the codes that the layers below compute, (batch, n_in) of this layer. Those layers
    are frozen. Their decoders are used for pictures, and for the loss if the recipe's target is
    ``pixels``; then each batch also holds the images, (batch, pixels).

    Args:
        stack: The stack to which the layer belongs; its layers are shared, not copied.
        index: Number of the layer, from 0.
        recipe: How to train it.
        seed: Seed of the run.
        val_images: Validation images, to log their error in pixels, too.

    Source: Bengio et al. (2007), "Greedy Layer-Wise Training of Deep Networks"; with corruption
    Vincent et al. (2010), "Stacked Denoising Autoencoders".
    """

    def __init__(
        self,
        stack: Stack,
        index: int,
        recipe: Recipe,
        seed: int = 0,
        val_images: TensorLoader | None = None,
    ) -> None:
        below = stack.below(index)
        below.requires_grad_(False).eval()
        aim = Reconstruct.of_stage(below, pixels=recipe.target == "pixels")
        super().__init__(stack[index], below, recipe, f"stage{index + 1}", seed, aim)
        self.net.requires_grad_(True)
        self.val_images = val_images if index > 0 else None
