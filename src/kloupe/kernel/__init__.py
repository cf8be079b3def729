"""Facts about one kernel: `Target`, live or from a folder. Lazy: a fact is read when it is asked for."""
