"""Modules of the methods: backbone, heads, momentum encoder, key queue."""
