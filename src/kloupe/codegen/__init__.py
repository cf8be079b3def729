"""Typed nodes to IR to eBPF."""
