"""scikit-learn's estimators: a stacked autoencoder as a transformer, classifier and detector."""

from sae.estimators.classifier import AutoencoderClassifier
from sae.estimators.detector import AutoencoderDetector
from sae.estimators.transformer import AutoencoderTransformer

__all__ = ["AutoencoderClassifier", "AutoencoderDetector", "AutoencoderTransformer"]
