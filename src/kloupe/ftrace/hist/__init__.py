"""Histograms of events: the same question asked of the kernel (hist triggers) or of a recorded trace."""
