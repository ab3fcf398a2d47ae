"""Metrics and classifiers on features: tensors in, scalars or tensors out."""
