"""The command line: one small module per command; parses, calls the library, prints; imports no torch at start."""
