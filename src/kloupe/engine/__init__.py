"""Engines run an Image: the kernel, or the user-space machine."""
