"""Recordings: what the probes of a session saw, in a file that survives a kill. See docs/recording.md."""
