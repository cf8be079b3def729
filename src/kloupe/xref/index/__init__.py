"""The index of a tree: which words stand in which files, kept in one SQLite file and updated by content."""
