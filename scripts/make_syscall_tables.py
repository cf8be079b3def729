"""Writes src/kloupe/kernel/data/syscalls.z from the `.tbl` files of a kernel tree: `python scripts/make_syscall_tables.py TREE`."""

from __future__ import annotations

import sys
from pathlib import Path

from kloupe.kernel.syscall_tables import DATA, encode_rows, parse_syscall_table, table_arch

TARGET = Path(__file__).parents[1] / "src" / "kloupe" / "kernel" / "data" / DATA


def main() -> None:
    """Collect all tables, by path."""
    tree = Path(sys.argv[1])
    rows = []
    for path in sorted(tree.rglob("*.tbl")):
        name = str(path.relative_to(tree))
        arch = table_arch(name)
        if arch is not None:
            rows += parse_syscall_table(path.read_text(), arch)
    rows.sort(key=lambda row: row.arch)
    TARGET.write_bytes(encode_rows(rows))
    print(f"{TARGET}: {len(rows)} rows of {len({row.arch for row in rows})} architectures")


if __name__ == "__main__":
    main()
