"""The user-space eBPF machine."""
