"""Traces as lines of text, as trace-cmd report prints them."""
