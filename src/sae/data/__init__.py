"""Datamodules and the loader that feeds every stage."""

from sae.data.base import ImageDataModule
from sae.data.digits import DigitsDataModule
from sae.data.loader import TensorLoader, encode
from sae.data.mnist import MNISTDataModule

__all__ = ["DigitsDataModule", "ImageDataModule", "MNISTDataModule", "TensorLoader", "encode"]
