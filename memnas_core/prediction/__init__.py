"""Classes of photos, by a trained network: what `memnas predict` and MLflow's models do."""

from memnas_core.prediction.classifier import Classifier, Prediction, Unreadable, load_classifier

__all__ = ["Classifier", "Prediction", "Unreadable", "load_classifier"]
