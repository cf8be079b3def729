"""Runs an Image on an engine: attach, poll, print, end."""
