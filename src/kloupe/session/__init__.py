"""Runs an Image on an engine and turns events into values."""
