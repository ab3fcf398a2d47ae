"""The run folder, its results, its features and their cache, and the facade for commands and Python."""
