"""One row per builtin or function."""
