"""Bytes to objects: ELF, DWARF, USDT notes, BTF. Bounded and fuzzed."""
