"""Nearest neighbors: exact and approximate search over features, and index files."""
