"""Augmentation: small random changes of the samples at each training step."""
