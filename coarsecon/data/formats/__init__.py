"""Files made by other programs: images, tables, archives, pickles and MATLAB files, read defensively."""
