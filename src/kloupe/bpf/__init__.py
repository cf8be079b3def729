"""The eBPF machine as tables."""
