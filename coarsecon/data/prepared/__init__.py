"""The prepared form of a dataset: opened, sampled and read in batches."""
