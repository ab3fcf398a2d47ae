"""Turn the original files of a dataset into the prepared form."""
