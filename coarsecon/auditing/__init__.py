"""Audit of a dataset: near-duplicates, leakage, label noise, outliers, and images of low quality."""
