"""Names, probes, types, checks."""
