"""Export of datasets with embeddings to other tools: Hugging Face `datasets` and FiftyOne."""
