"""The kernel engine: loads an Image with bpf(2), attaches it, and reads what it writes."""

from .core import KernelEngine, missed_runs, program_stats

__all__ = ["KernelEngine", "missed_runs", "program_stats"]
