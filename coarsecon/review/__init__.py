"""Turn proposed clusters into named sub-classes: the review, its journal, and what the labels so far imply."""
