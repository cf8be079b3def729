"""The user-space eBPF machine: runs an Image with no privilege, in plain Python."""
