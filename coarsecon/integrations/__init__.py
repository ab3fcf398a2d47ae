"""Datasets with embeddings for other tools: Hugging Face `datasets` and FiftyOne."""
