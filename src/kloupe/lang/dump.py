"""`-d ast`: the syntax tree as indented text, one node a line with its place."""

from __future__ import annotations

from ..base.source import Span
from . import nodes as n


def dump_tree(program: n.Program) -> str:
    """One line per node: name, plain fields, `line:column`; children indented by two."""
    lines: list[str] = []
    work: list[tuple[int, str, n.Node]] = [(0, "", program)]
    while work:
        depth, label, node = work.pop()
        plain = []
        children: list[tuple[int, str, n.Node]] = []
        for name in node.FIELDS:
            value = getattr(node, name)
            if isinstance(value, n.Node):
                children.append((depth + 1, f"{name}: ", value))
            elif isinstance(value, tuple) and value and isinstance(value[0], n.Node):
                children += [(depth + 1, f"{name}: ", item) for item in value]
            elif not isinstance(value, Span) and value not in ((), None, "", False):
                plain.append(f" {name}={value!r}")
        place = f"{node.span.line}:{node.span.column}"
        lines.append(f"{'  ' * depth}{label}{type(node).__name__}{''.join(plain)} @{place}")
        work += reversed(children)
    return "\n".join(lines) + "\n"
