"""Traces in other forms: trees, statistics, JSON, and the files of other viewers."""
