"""Nearest neighbors: exact search, and an index kept together with the images it came from."""
