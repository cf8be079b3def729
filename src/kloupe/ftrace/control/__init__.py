"""Setting the kernel's tracer up through tracefs, and leaving it as it was."""
