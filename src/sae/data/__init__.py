"""Datamodules, and the loader that every stage reads from."""

from sae.data.arrays import ArrayDataModule
from sae.data.datamodule import SampleDataModule
from sae.data.digits import DigitsDataModule
from sae.data.image_folder import ImageFolderDataModule
from sae.data.loader import TensorLoader
from sae.data.mnist import MNISTDataModule
from sae.data.mnist_like import EMNISTDataModule, FashionMNISTDataModule, KMNISTDataModule
from sae.data.tables import TableDataModule

__all__ = [
    "ArrayDataModule",
    "DigitsDataModule",
    "EMNISTDataModule",
    "FashionMNISTDataModule",
    "ImageFolderDataModule",
    "KMNISTDataModule",
    "MNISTDataModule",
    "SampleDataModule",
    "TableDataModule",
    "TensorLoader",
]
