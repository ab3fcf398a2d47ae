"""Label columns of a prepared dataset: add labels, undo changes, and exchange them as tables."""
