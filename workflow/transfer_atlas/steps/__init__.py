"""One file for each step that a rule calls: read files, call pure functions, write files."""
