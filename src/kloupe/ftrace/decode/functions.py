"""The functions that stay in print formats: flags, symbols, arrays, strings of dynamic fields.

Source: include/trace/stages/stage3_trace_output.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from . import helpers
from .cvalue import Value
from .eventformat import EventField
from .printfmt import Node, Text


class OrderContext(Protocol):
    """What functions need of the context."""

    order: str


class Maker(Protocol):
    """What functions need of the compiler."""

    scope: dict[str, Any]

    @property
    def context(self) -> OrderContext:
        """Byte order and the like."""

    def number(self, node: Node) -> Value:
        """A node as an integer."""

    def bytes(self, node: Node) -> str:
        """A node as bytes."""

    def pairs(self, nodes: tuple[Node, ...]) -> list[tuple[int, str]]:
        """The list of __print_flags or __print_symbolic."""

    def dynamic(self, argument: Node) -> tuple[str, EventField]:
        """(source of the bytes, field) of a dynamic array."""


def _flags(c: Maker, args: tuple[Node, ...]) -> Value:
    delimiter = args[1].value if len(args) > 1 and isinstance(args[1], Text) else ""
    name = f"T{len(c.scope)}"
    c.scope[name] = helpers.Flags(delimiter, c.pairs(args[2:]))
    return Value(f"{name}[{c.number(args[0]).source}]", "text")


def _symbolic(c: Maker, args: tuple[Node, ...]) -> Value:
    name = f"T{len(c.scope)}"
    c.scope[name] = helpers.Symbolic(c.pairs(args[1:]))
    return Value(f"{name}[{c.number(args[0]).source}]", "text")


def _hex(separator: str) -> Callable[[Maker, tuple[Node, ...]], Value]:
    def call(c: Maker, args: tuple[Node, ...]) -> Value:
        return Value(f"hex_bytes({c.bytes(args[0])}, {c.number(args[1]).source}, {separator!r})", "text")

    return call


def _array(c: Maker, args: tuple[Node, ...]) -> Value:
    count, size = c.number(args[1]).source, c.number(args[2]).source
    return Value(f"array_text({c.bytes(args[0])}, {count}, {size}, {c.context.order!r})", "text")


def _dynamic_array(c: Maker, args: tuple[Node, ...]) -> Value:
    data, _ = c.dynamic(args[0])
    size = c.number(args[1]).source
    return Value(f"array_text({data}, len({data}) // {size}, {size}, {c.context.order!r})", "text")


def _hex_dump(c: Maker, args: tuple[Node, ...]) -> Value:
    prefix = args[0].value if isinstance(args[0], Text) else ""
    return Value(
        f"hex_dump({prefix!r}, {c.number(args[2]).source}, {c.bytes(args[4])}, {c.number(args[5]).source})", "text"
    )


def _get_array(c: Maker, args: tuple[Node, ...]) -> Value:
    return Value(c.dynamic(args[0])[0], "bytes")


def _get_length(c: Maker, args: tuple[Node, ...]) -> Value:
    _, field = c.dynamic(args[0])
    return Value(f"(f_{field.name} >> 16)", "int", 4, False)


def _get_string(c: Maker, args: tuple[Node, ...]) -> Value:
    return Value(f"S[{c.dynamic(args[0])[0]}]", "text")


def _get_mask(function: str) -> Callable[[Maker, tuple[Node, ...]], Value]:
    def call(c: Maker, args: tuple[Node, ...]) -> Value:
        return Value(f"{function}({c.dynamic(args[0])[0]}, {c.context.order!r})", "text")

    return call


def _ns_to_s(c: Maker, args: tuple[Node, ...]) -> Value:
    return Value(f"divided({c.number(args[0]).source}, 1000000000)", "int", 8, True)


def _ns_rest(c: Maker, args: tuple[Node, ...]) -> Value:
    return Value(f"({c.number(args[0]).source} % 1000000000)", "int", 4, True)


def _same(c: Maker, args: tuple[Node, ...]) -> Value:
    return c.number(args[0])


def _device(c: Maker, args: tuple[Node, ...]) -> Value:
    number = c.number(args[0]).source
    return Value(f"'%d:%d' % ({number} >> 20, {number} & 1048575)", "text")


CALLS: dict[str, Callable[[Maker, tuple[Node, ...]], Value]] = {
    "__print_flags": _flags, "__print_flags_u64": _flags,
    "__print_symbolic": _symbolic, "__print_symbolic_u64": _symbolic,
    "__print_hex": _hex(" "), "__print_hex_str": _hex(""), "__print_array": _array,
    "__print_dynamic_array": _dynamic_array, "__print_hex_dump": _hex_dump,
    "__get_dynamic_array": _get_array, "__get_rel_dynamic_array": _get_array,
    "__get_dynamic_array_len": _get_length, "__get_rel_dynamic_array_len": _get_length,
    "__get_str": _get_string, "__get_rel_str": _get_string,
    "__get_bitmask": _get_mask("mask_text"), "__get_rel_bitmask": _get_mask("mask_text"),
    "__get_cpumask": _get_mask("cpu_list"), "__get_rel_cpumask": _get_mask("cpu_list"),
    "__get_sockaddr": _get_array, "__get_sockaddr_rel": _get_array, "__get_rel_sockaddr": _get_array,
    "__print_ns_to_secs": _ns_to_s, "__print_ns_without_secs": _ns_rest,
    "__builtin_expect": _same, "likely": _same, "unlikely": _same, "jiffies_to_msecs": _same,
    "jbd2_dev_to_name": _device,
}  # fmt: skip
