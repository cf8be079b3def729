"""C text to declarations."""
