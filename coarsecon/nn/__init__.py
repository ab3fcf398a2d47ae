"""The modules methods are made of: backbone, heads, momentum twin, key queue."""
