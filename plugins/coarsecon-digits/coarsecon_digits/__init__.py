"""A dataset source, an exporter and a command for coarsecon."""
