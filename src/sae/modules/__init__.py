"""LightningModules: one autoencoder stage, and the stack."""

from sae.modules.reconstruction import ReconstructionModule
from sae.modules.stack import StackedAutoencoder
from sae.modules.stage import Stage

__all__ = ["ReconstructionModule", "StackedAutoencoder", "Stage"]
