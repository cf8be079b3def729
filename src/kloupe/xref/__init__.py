"""The kernel's source: an index of a tree, and answers from it."""
