"""The handwritten digits bundled with scikit-learn: real data without a download.

1,797 images of 8x8 pixels with 17 grey levels (UCI Optical Recognition of Handwritten Digits),
resized to 28x28 so that networks made for MNIST fit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sae.data.datamodule import SampleDataModule, Samples

NAME = "digits"
DESCRIPTION = "scikit-learn's bundled digits (1,797 images of 8x8, resized to 28x28)"
TEST_SIZE = 360
IMAGE_SHAPE = (28, 28)


def load_digits() -> tuple[Samples, Samples]:
    """Read the digits: 1,437 for training and validation, 360 for the test.

    The set has no official split. This one is stratified by class and always the same.

    Returns:
        Training samples and test samples: uint8, (n, 784), with labels 0 to 9.
    """
    from sklearn import datasets, model_selection

    x, y = datasets.load_digits(return_X_y=True)
    train, test = model_selection.train_test_split(
        torch.arange(len(x)).numpy(), test_size=TEST_SIZE, random_state=0, stratify=y
    )
    images = torch.from_numpy(x).float().view(-1, 1, 8, 8) / 16
    images = F.interpolate(images, size=IMAGE_SHAPE, mode="bilinear", align_corners=False)
    samples = Samples(
        x=images.mul(255).round().to(torch.uint8).flatten(1), y=torch.from_numpy(y).long()
    )
    return samples[torch.from_numpy(train)], samples[torch.from_numpy(test)]


class DigitsDataModule(SampleDataModule):
    """scikit-learn's bundled digits, 28x28.

    Args:
        batch_size: Images in a batch, summed over all processes; 1 or more.
        val_size: Number of the 1,437 training images that are held out for validation.
        split_seed: Seed of the random choice of validation images.
        labels: Number of training images whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.
    """

    name = NAME
    description = DESCRIPTION
    image_shape = IMAGE_SHAPE

    def __init__(
        self,
        batch_size: int = 64,
        val_size: int = 180,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, val_size, split_seed, labels, labels_per_class, label_seed)

    def load(self) -> tuple[Samples, Samples]:
        """Read the bundled digits."""
        return load_digits()
