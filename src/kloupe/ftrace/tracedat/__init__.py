"""trace.dat, the files of trace-cmd: read and written."""

from .read import Buffer, CpuData, Event, TraceFile

__all__ = ["Buffer", "CpuData", "Event", "TraceFile"]
