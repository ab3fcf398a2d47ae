"""Pages, plots, tables, galleries and maps of runs, as PNG and HTML."""
