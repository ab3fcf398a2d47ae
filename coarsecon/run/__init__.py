"""The run folder, its results, its features and their cache, and what commands and Python use to open it."""
