"""The vocabulary every room shares: sources and spans, diagnostics, errors, types, layouts. Imports nothing of ours."""
