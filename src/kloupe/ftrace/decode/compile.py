"""Print formats to Python functions: one `struct` call and one `%` for each event.

A compiled function takes (page, offset, size) of a record and gives its text. The trees of print formats know no types, so each value
carries its C type along; conversions are written out only where a value can need them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from . import helpers
from .cvalue import Value, fitted, masked
from .eventformat import EventField, EventFormat, type_bytes
from .functions import CALLS
from .printfmt import (
    Binary,
    Call,
    Cast,
    FieldRef,
    Index,
    Node,
    Number,
    Pair,
    PrintFormatError,
    Ternary,
    Text,
    Unary,
    parse_print_format,
)
from .symbols import Names, Symbols

Render = Callable[[bytes, int, int], str]


class Context:
    """What decoding needs besides the format: byte order, the size of a long, symbols, the strings of trace_printk."""

    def __init__(self, order: str, long_bytes: int, symbols: Symbols, printk: Mapping[int, str] | None = None) -> None:
        self.order = order
        self.long_bytes = long_bytes
        self.symbols = symbols
        self.names = Names(symbols)
        self.offsets = _Offsets(symbols)
        self.strings = helpers.Strings()
        self.printk = printk or {}


class _Offsets(dict[int, str]):
    """address -> `name+0x1c`, or the address."""

    def __init__(self, symbols: Symbols) -> None:
        super().__init__()
        self._symbols = symbols

    def __missing__(self, address: int) -> str:
        name, offset = self._symbols[address]
        text = self[address] = f"{name}+0x{offset:x}" if name else f"0x{address & helpers.M64:x}"
        return text


_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}
_UNRESOLVED = {
    name: number
    for number, name in enumerate(
        [
            "HI_SOFTIRQ",
            "TIMER_SOFTIRQ",
            "NET_TX_SOFTIRQ",
            "NET_RX_SOFTIRQ",
            "BLOCK_SOFTIRQ",
            "IRQ_POLL_SOFTIRQ",
            "TASKLET_SOFTIRQ",
            "SCHED_SOFTIRQ",
            "HRTIMER_SOFTIRQ",
            "RCU_SOFTIRQ",
        ]
    )
} | {"HRTIMER_NORESTART": 0, "HRTIMER_RESTART": 1}
_COMPARE = {"==", "!=", "<", ">", "<=", ">="}
_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d+|\*)?(?:\.(?P<precision>\d+|\*)?)?(?P<length>hh|h|ll|l|L|z|Z|j|t|q)?(?P<kind>[a-zA-Z%])"
)
_POINTER_SUFFIX = re.compile(r"[SsFfB]R?|[Mm][RF]?|[Ii]S[pfsc]*[hnbl]?|[Ii]4[hnbl]?|[Ii]6c?|U[lLbB]?|h[CDN]?|K|x|")
_LENGTH_BYTES = {"": 4, "hh": 1, "h": 2, "ll": 8, "L": 8, "j": 8, "q": 8}


def compile_print_format(form: EventFormat, context: Context) -> Render:
    """The function for an event. Raises PrintFormatError when its print format is not understood."""
    text, arguments = parse_print_format(form.print_fmt)
    render: Render = _Compiler(form, context).compile(text, arguments, "p, o, n", "")
    return render


def compile_line(form: EventFormat, context: Context, parameters: str, head: str) -> Callable[..., str]:
    """The same with a line's beginning: `head` is the text of an f-string over further parameters. Ends in one newline. Raises PrintFormatError."""
    text, arguments = parse_print_format(form.print_fmt)
    newline = "" if text.endswith("\n") else "\n"
    return _Compiler(form, context).compile(text + newline, arguments, parameters, head)


def braced(text: str) -> str:
    """A text as it stands in an f-string."""
    return text.replace("{", "{{").replace("}", "}}")


class _Compiler:
    def __init__(self, form: EventFormat, context: Context) -> None:
        self.form = form
        self.context = context
        self.used: dict[str, EventField] = {}
        self.scope: dict[str, Any] = {
            "S": context.strings, "NAME": context.names, "OFF": context.offsets, "PRINTK": context.printk,
            **{name: getattr(helpers, name) for name in (
                "pointer", "hex_bytes", "array_text", "hex_dump", "mask_text", "cpu_list", "mac", "ipv4", "ipv6",
                "socket_address", "uuid", "element", "divided", "shifted",
            )},
        }  # fmt: skip

    def compile(self, text: str, arguments: list[Node], parameters: str, head: str) -> Callable[..., str]:
        """The whole function: one unpacking, the values, one f-string."""
        template, values = self._template(text, list(arguments))
        unpack, names = self._unpack()
        lines = [f"def render({parameters}):"]
        if names:
            self.scope["unpack"] = unpack
            lines.append(f"    {', '.join(names)}{',' if len(names) == 1 else ''} = unpack(p, o)")
        lines += [f"    v{number} = {source}" for number, source in enumerate(values)]
        lines.append(f"    return f{head + template!r}")
        exec("\n".join(lines), self.scope)
        render: Callable[..., str] = self.scope["render"]
        return render

    # -- fields -----------------------------------------------------------------------------------------------------

    def _unpack(self) -> tuple[Any, list[str]]:
        """One struct for all fields that are used, and the variables they go to."""
        import struct

        at, code, names = 0, self.context.order, []
        for field in sorted(self.used.values(), key=lambda f: (f.offset, f.size)):
            if field.offset < at:
                raise PrintFormatError(f"field {field.name} overlaps another one")
            size = 4 if field.dynamic else field.size
            letter = "I" if field.dynamic else self._letter(field)
            code += f"{field.offset - at}x{letter}"
            at = field.offset + size
            names.append(f"f_{field.name}")
        return struct.Struct(code).unpack_from, names

    @staticmethod
    def _letter(field: EventField) -> str:
        if field.is_array or field.size not in _CODES:
            return f"{field.size}s"
        letter = _CODES[field.size]
        return letter if field.signed else letter.upper()

    def _field(self, name: str) -> EventField:
        field = self.form.field(name)
        if field is None:
            raise PrintFormatError(f"no field {name}")
        if field.size:
            self.used[name] = field
        return field

    def _read(self, name: str) -> Value:
        field = self._field(name)
        if field.dynamic:
            return Value(f"f_{name}", "int", 4, False)
        if not field.size:
            return Value(f"p[o+{field.offset}:o+n]", "bytes")
        if field.is_array or field.size not in _CODES:
            return Value(f"f_{name}", "bytes")
        return Value(f"f_{name}", "int", field.size, field.signed)

    def dynamic(self, argument: Node) -> tuple[str, EventField]:
        """(source of the bytes, field) of a dynamic array, named by __get_dynamic_array(name)."""
        name = argument.name if isinstance(argument, FieldRef | Call) else ""
        field = self._field(name)
        if not field.dynamic:
            raise PrintFormatError(f"field {name} is no dynamic array")
        start = f"o+(f_{name}&65535)" + (f"+{field.offset + 4}" if field.dynamic == 2 else "")
        return f"p[{start}:{start}+(f_{name}>>16)]", field

    # -- expressions ------------------------------------------------------------------------------------------------

    def value(self, node: Node) -> Value:
        """A node's value."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise PrintFormatError("a list where a value was expected")
        found: Value = method(node)
        return found

    def number(self, node: Node) -> Value:
        """A node's value as an integer."""
        value = self.value(node)
        if value.kind == "bytes":
            return Value(
                f"element({value.source}, 0, min(8, len({value.source})) or 1, False, {self.context.order!r})",
                "int",
                8,
                False,
            )
        if value.kind == "text":
            raise PrintFormatError("a string where a number was expected")
        return value

    def text(self, node: Node) -> str:
        """A node's value as a string, for %s."""
        if isinstance(node, Ternary):
            return f"({self.text(node.yes)} if {self.number(node.condition).source} else {self.text(node.no)})"
        value = self.value(node)
        if value.kind == "text":
            return value.source
        if value.kind == "bytes":
            return f"S[{value.source}]"
        return f"(PRINTK.get({value.source}) or '%x' % ({value.source} & {helpers.M64}))"

    def bytes(self, node: Node) -> str:
        """A node's value as bytes, for %p with letters and the functions that print buffers."""
        while isinstance(node, Cast) or (isinstance(node, Unary) and node.op in "&*"):
            node = node.inner
        if isinstance(node, FieldRef):
            field = self._field(node.name)
            if field.dynamic:
                return self.dynamic(node)[0]
            value = self._read(node.name)
            if value.kind == "bytes":
                return value.source
            order = "little" if self.context.order == "<" else "big"
            return f"(f_{node.name}).to_bytes({field.size}, {order!r}, signed={field.signed})"
        value = self.value(node)
        if value.kind != "bytes":
            raise PrintFormatError("a number where a buffer was expected")
        return value.source

    def _number(self, node: Number) -> Value:
        large = node.value > 0x7FFFFFFF
        return Value(str(node.value), "int", 8 if large else 4, node.value < 1 << 63)

    def _text(self, node: Text) -> Value:
        return Value(repr(node.value), "text")

    def _fieldref(self, node: FieldRef) -> Value:
        return self._read(node.name)

    def _index(self, node: Index) -> Value:
        base, size, signed = node.base, 0, False
        while isinstance(base, Cast):
            if not size and "*" in base.words:
                size, signed = (
                    type_bytes(list(base.words)),
                    not {"unsigned", "u8", "u16", "u32", "u64"} & set(base.words),
                )
            base = base.inner
        if isinstance(base, FieldRef):
            field = self._field(base.name)
            size, signed = size or field.element_bytes, signed or field.signed
        size = size or self.context.long_bytes
        order = self.context.order
        return Value(
            f"element({self.bytes(base)}, {self.number(node.place).source}, {size}, {signed}, {order!r})",
            "int",
            size,
            signed,
        )

    def _cast(self, node: Cast) -> Value:
        if "*" in node.words:
            inner = self.value(node.inner)
            return inner._replace(size=self.context.long_bytes, signed=False) if inner.kind == "int" else inner
        inner = self.number(node.inner)
        words = list(node.words)
        size = self.context.long_bytes if "long" in words and words.count("long") == 1 else type_bytes(words)
        signed = not any(
            word.startswith(("u", "__u", "__be", "__le", "size_t", "gfp", "bool", "_Bool")) for word in words
        )
        return Value(fitted(inner, size, signed), "int", size, signed)

    def _unary(self, node: Unary) -> Value:
        if node.op in ("&", "*"):
            inner = node.inner
            if node.op == "*" and isinstance(inner, Cast) and "*" in inner.words:
                return self._index(Index(inner, Number(0)))
            return self.value(inner)
        value = self.number(node.inner)
        if node.op == "!":
            return Value(f"(0 if {value.source} else 1)")
        wide = value._replace(size=max(4, value.size))
        return wide._replace(source=masked(f"({node.op}{value.source})", wide))

    def _binary(self, node: Binary) -> Value:
        left, right = self.number(node.left), self.number(node.right)
        if node.op in ("&&", "||"):
            word = "and" if node.op == "&&" else "or"
            return Value(f"(1 if {left.source} {word} {right.source} else 0)")
        if node.op in _COMPARE:
            return Value(f"(1 if {left.source} {node.op} {right.source} else 0)")
        size = max(4, left.size, right.size)
        if node.op in ("<<", ">>"):
            result = Value("", "int", max(4, left.size), left.signed or left.size < 4)
            source = (
                f"shifted({left.source}, {right.source})"
                if node.op == "<<"
                else f"({left.source} >> ({right.source} & 63))"
            )
        else:
            unsigned = (not left.signed and left.size == size) or (not right.signed and right.size == size)
            result = Value("", "int", size, not unsigned)
            if node.op == "/":
                source = f"divided({left.source}, {right.source})"
            elif node.op == "%":
                source = f"({left.source} - {right.source} * divided({left.source}, {right.source}))"
            else:
                source = f"({left.source} {node.op} {right.source})"
        return result._replace(source=masked(source, result))

    def _ternary(self, node: Ternary) -> Value:
        yes, no = self.value(node.yes), self.value(node.no)
        if yes.kind == no.kind == "int":
            size = max(4, yes.size, no.size)
            signed = (yes.signed or yes.size < size) and (no.signed or no.size < size)
            return Value(
                f"({yes.source} if {self.number(node.condition).source} else {no.source})", "int", size, signed
            )
        return Value(self.text(node), "text")

    def _call(self, node: Call) -> Value:
        if node.name in _UNRESOLVED and not node.arguments:
            return Value(str(_UNRESOLVED[node.name]))
        function = CALLS.get(node.name)
        if function is None:
            if (
                not node.arguments
            ):  # something of the kernel that its text has not resolved: trace-cmd takes the address
                return Value(str(self.context.symbols.address(node.name)), "int", 8, False)
            raise PrintFormatError(f"function {node.name} is not known")
        return function(self, node.arguments)

    # -- the format -------------------------------------------------------------------------------------------------

    def _template(self, text: str, arguments: list[Node]) -> tuple[str, list[str]]:
        """(the text of an f-string over v0, v1, ...; the sources of these values)."""
        out: list[str] = []
        values: list[str] = []
        at = 0
        while (match := _CONVERSION.search(text, at)) is not None:
            out.append(braced(text[at : match.start()]))
            at = match.end()
            if match["kind"] == "%":
                out.append("%")
                continue
            stars = [self._take(arguments) for name in ("width", "precision") if match[name] == "*"]
            node = self._take(arguments)
            if match["kind"] == "p":
                suffix = _POINTER_SUFFIX.match(text, at)
                assert suffix is not None
                at = suffix.end()
                width = match["width"] if match["width"] not in (None, "*") else ""
                side = "<" if "-" in match["flags"] else ">"
                spec = f":{side}{width}" if width else ""
                source = self._pointer(node, suffix[0], stars)
            else:
                spec, source = self._conversion(match, node, stars)
            out.append(f"{{v{len(values)}{spec}}}")
            values.append(source)
        out.append(braced(text[at:]))
        return "".join(out), values

    @staticmethod
    def _take(arguments: list[Node]) -> Node:
        if not arguments:
            raise PrintFormatError("a print format has fewer arguments than conversions")
        return arguments.pop(0)

    def _conversion(self, match: re.Match[str], node: Node, stars: list[Node]) -> tuple[str, str]:
        """(format specification, source) of a conversion that is no pointer."""
        kind = match["kind"]
        if kind not in "sdiuxXoc":
            raise PrintFormatError(f"%{kind} in a print format")
        if kind == "s":
            source = self.text(node)
        else:
            value = self.number(node)
            length = match["length"] or ""
            size = _LENGTH_BYTES.get(length, self.context.long_bytes)
            source = f"chr({value.source} & 255)" if kind == "c" else fitted(value, size, kind in "di")
        letter = {"s": "s", "c": "s", "d": "d", "i": "d", "u": "d"}.get(kind, kind)
        is_text = letter == "s"
        flags, width = match["flags"], match["width"] or ""
        precision = f".{match['precision'] or 0}" if "." in match[0] else ""
        if stars or (precision and not is_text):  # what a format specification cannot say
            form = f"%{flags}{width}{precision}{letter}"
            numbers = "".join(f"{self.number(star).source}, " for star in stars)
            return "", f"{form!r} % ({numbers}{source},)"
        if is_text:
            side = ("<" if "-" in flags else ">") if width else ""
            spec = f"{side}{width}{precision}"
        else:
            side = "<" if "-" in flags and width else ""
            sign = "+" if "+" in flags else " " if " " in flags else ""
            zero = "0" if "0" in flags and width and not side else ""
            spec = f"{side}{sign}{'#' if '#' in flags else ''}{zero}{width}{letter if letter != 'd' else ''}"
        return f":{spec}" if spec else "", source

    def _pointer(self, node: Node, suffix: str, stars: list[Node]) -> str:
        letter, order = suffix[:1], self.context.order
        if letter in ("S", "F", "B"):
            return f"OFF[{self.number(node).source}]"
        if letter in ("s", "f"):
            return f"NAME[{self.number(node).source}]"
        if letter in ("M", "m"):
            return f"mac({self.bytes(node)}, {suffix!r})"
        if letter in ("I", "i"):
            function = {"4": "ipv4", "6": "ipv6", "S": "socket_address"}[suffix[1]]
            extra = "" if function == "ipv6" else f", {order!r}"
            return f"{function}({self.bytes(node)}, {suffix!r}{extra})"
        if letter == "U":
            return f"uuid({self.bytes(node)}, {suffix!r})"
        if letter == "h":
            separator = {"C": ":", "D": "-", "N": ""}.get(suffix[1:], " ")
            count = self.number(stars[0]).source if stars else "1"
            return f"hex_bytes({self.bytes(node)}, {count}, {separator!r})"
        return f"pointer({self.number(node).source})"

    def constant(self, node: Node) -> int:
        """A node that is known without a record; -1 for a name that nothing is known of."""
        if isinstance(node, Call) and not node.arguments:
            return _UNRESOLVED.get(node.name, -1)
        used = dict(self.used)
        value = self.number(node)
        if self.used != used:
            raise PrintFormatError("a list of names that depends on fields")
        result = eval(value.source, {"divided": helpers.divided, "shifted": helpers.shifted})
        return int(result)

    def pairs(self, nodes: tuple[Node, ...]) -> list[tuple[int, str]]:
        """The list of __print_flags or __print_symbolic."""
        found = []
        for node in nodes:
            if not isinstance(node, Pair):
                raise PrintFormatError("a list of names has something else in it")
            if isinstance(node.text, Text):
                found.append((self.constant(node.value), node.text.value))
        return found
