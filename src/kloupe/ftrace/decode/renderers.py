"""Texts of events that are not their print format: those that trace-cmd's library has code of its own for.

A renderer is made for one event format and takes (page, offset, size, cpu) of a record. RENDERERS names the makers; a maker gives None
when the format lacks what it needs, and the print format is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from struct import Struct
from typing import Protocol

from .compile import Context
from .eventformat import EventField, EventFormat

RecordText = Callable[[bytes, int, int, int], str]


class Learn(Protocol):
    """Takes the name of a task that an event tells; `known` are those that need not be told."""

    known: dict[int, str]

    def __call__(self, pid: int, comm: str) -> None:
        """(thread, name)."""


_M32 = 0xFFFFFFFF
_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


def unpacker(form: EventFormat, context: Context, *names: str) -> Callable[[bytes, int], tuple[int, ...]] | None:
    """A function that reads these whole-number fields, in this order; None when one is missing."""
    fields = [field for field in map(form.field, names) if field is not None and field.size in _CODES]
    if len(fields) < len(names):
        return None
    placed = sorted(fields, key=lambda field: field.offset)
    at, code = 0, context.order
    for field in placed:
        if field.offset < at:
            return None
        letter = _CODES[field.size]
        code += f"{field.offset - at}x{letter if field.signed else letter.upper()}"
        at = field.offset + field.size
    unpack = Struct(code).unpack_from
    if placed == fields:
        return unpack
    ordered = itemgetter(*map(placed.index, fields))  # depth stands behind the times before Linux 5.13
    return lambda page, offset: ordered(unpack(page, offset))


def _function(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    """The function, indented below its caller as far as that is known on this CPU."""
    read = unpacker(form, context, "ip", "parent_ip")
    if read is None:
        return None
    names, symbols = context.names, context.symbols
    stacks: dict[int, list[str]] = {}

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        ip, parent_ip = read(page, offset)
        parent = symbols[parent_ip][0]
        name = names[ip]
        if not parent:
            return name
        stack = stacks.get(cpu)
        if stack is None:
            stack = stacks[cpu] = []
        known = bool(symbols[ip][0])
        try:
            depth = stack.index(parent)
        except ValueError:
            depth = 0
            stack[:1] = [parent]
        if known:
            stack[depth + 1 : depth + 2] = [name]
        return f"{'   ' * depth}{name}"

    return render


def _kernel_stack(form: EventFormat, context: Context, learn: Learn | None = None) -> RecordText | None:
    caller = form.field("caller")
    if caller is None:
        return None
    width, order = context.long_bytes, "little" if context.order == "<" else "big"
    last, symbols = (1 << 8 * width) - 1, context.symbols

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        lines = ["<stack trace >\n"]
        for at in range(offset + caller.offset, offset + size - width + 1, width):
            address = int.from_bytes(page[at : at + width], order)  # type: ignore[arg-type]
            if address == last or address & 0xFFFFFFFF == 0xFFFFFFFF:
                break
            name = symbols[address][0]
            lines.append(f"=> {name} ({address:x})\n" if name else f"=> {address:x}\n")
        return "".join(lines)

    return render


def _raw_data(form: EventFormat, context: Context, learn: Learn | None = None) -> RecordText | None:
    read, buffer = unpacker(form, context, "id"), form.field("buf")
    if read is None or buffer is None:
        return None

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        data = page[offset + buffer.offset : offset + size]
        return f"# {read(page, offset)[0] & 0xFFFFFFFF:x}" + "".join(f" {byte:02x}" for byte in data)

    return render


_STATE = re.compile(r"\{\s*(0x[0-9a-fA-F]{1,16}|[1-9]\d{0,18})\s*,\s*\"(.)[^\"]*\"\s*\}")


def _state_letters(form: EventFormat) -> list[str]:
    """The letters of a task's state, by bit, from the flags of the print format."""
    part = form.print_fmt.partition("__print_flags(")[2].partition("__print_flags(")[0]
    letters = {int(value, 0): letter for value, letter in _STATE.findall(part)}
    found = ["\0"] * 32
    for value, letter in letters.items():
        low = (value & -value).bit_length() - 1
        if 0 <= low < 32:
            found[low] = letter
    end = found.index("\0") if "\0" in found else len(found)
    return found[:end] if end else list("SDTtXZPI")


def _text_field(form: EventFormat, name: str) -> EventField | None:
    field = form.field(name)
    return field if field is not None and field.is_array and not field.dynamic else None


def _switch(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    read = unpacker(form, context, "prev_pid", "prev_prio", "prev_state", "next_pid", "next_prio")
    before, after = _text_field(form, "prev_comm"), _text_field(form, "next_comm")
    if read is None or before is None or after is None:
        return None
    letters, strings, known = _state_letters(form), context.strings, learn.known
    b0, b1, a0, a1 = before.offset, before.offset + before.size, after.offset, after.offset + after.size
    states: dict[int, str] = {}

    def state(value: int) -> str:
        text = "|".join(letter for bit, letter in enumerate(letters) if value >> bit & 1) or "R"
        return states.setdefault(value, text)

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        pid, prio, value, next_pid, next_prio = read(page, offset)
        comm = strings[page[offset + b0 : offset + b1]]
        next_comm = strings[page[offset + a0 : offset + a1]]
        if pid not in known:
            learn(pid, comm)
        if next_pid not in known:
            learn(next_pid, next_comm)
        shown = states.get(value) or state(value)
        return f"{comm}:{pid & _M32} [{prio}] {shown} ==> {next_comm}:{next_pid & _M32} [{next_prio}]"

    return render


def _wakeup(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    comm_field = _text_field(form, "comm")
    names = [n for n in ("pid", "prio", "success", "target_cpu") if form.field(n) is not None]
    read = unpacker(form, context, *names)
    if read is None or comm_field is None or "pid" not in names:
        return None
    start, end, strings = comm_field.offset, comm_field.offset + comm_field.size, context.strings
    forms = {"pid": "{}", "prio": " [{}]", "success": " success={}", "target_cpu": " CPU:{:03d}"}
    template = "{}:" + "".join(forms[name] for name in names)

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        values = read(page, offset)
        comm = strings[page[offset + start : offset + end]]
        learn(values[0], comm)
        return template.format(comm, *(value & 0xFFFFFFFF for value in values))

    return render


def _call_site(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    """The print format behind the caller in parentheses."""
    from .compile import compile_print_format

    read = unpacker(form, context, "call_site")
    if read is None:
        return None
    rest, symbols = compile_print_format(form, context), context.symbols

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        name, inside = symbols[read(page, offset)[0]]
        head = f"({name}+0x{inside:x}) " if name else ""
        return head + rest(page, offset, size)

    return render


def _timer_name(form: EventFormat) -> str:
    return "timer" if form.field("timer") is not None else "hrtimer"


def _function_text(context: Context, address: int) -> str:
    name, inside = context.symbols[address]
    return f"{name}/0x{inside:x}" if name else f"0x{address:08x}"


def _hrtimer_expire(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    read = unpacker(form, context, _timer_name(form), "now", "function")
    if read is None:
        return None

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        timer, now, function = read(page, offset)
        return f"hrtimer=0x{timer:x} now={now} function={_function_text(context, function)}"

    return render


def _hrtimer_start(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    read = unpacker(form, context, _timer_name(form), "function", "expires", "softexpires")
    if read is None:
        return None

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        timer, function, expires, soft = read(page, offset)
        where = _function_text(context, function)
        return f"hrtimer=0x{timer:x} function={where} expires={expires} softexpires={soft}"

    return render


_TLB_REASONS = ("flush on task switch", "remote shootdown", "local shootdown", "local mm shootdown")


def _tlb_flush(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    read = unpacker(form, context, "reason", "pages")
    if read is None:
        return None

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        reason, pages = read(page, offset)
        text = _TLB_REASONS[reason] if 0 <= reason < len(_TLB_REASONS) else ""
        pages -= (pages >> 63) << 64  # shown as a signed number
        return f"pages={pages} reason={text} ({reason})"

    return render


# The names of futex operations and how each shows val, utime, uaddr2 and val3 (futex(2)): "x" hexadecimal, "u" a number, "2" as val2.
_FUTEX = (
    ("FUTEX_WAIT", "x", "x", "", ""), ("FUTEX_WAKE", "u", "", "", ""), ("FUTEX_FD", "u", "", "", ""),
    ("FUTEX_REQUEUE", "u", "2", "x", ""), ("FUTEX_CMP_REQUEUE", "u", "2", "x", "x"), ("FUTEX_WAKE_OP", "u", "2", "x", "x"),
    ("FUTEX_LOCK_PI", "", "x", "", ""), ("FUTEX_UNLOCK_PI", "", "", "", ""), ("FUTEX_TRYLOCK_PI", "", "", "", ""),
    ("FUTEX_WAIT_BITSET", "x", "x", "", "x"), ("FUTEX_WAKE_BITSET", "u", "", "", "x"),
    ("FUTEX_WAIT_REQUEUE_PI", "x", "x", "x", "x"), ("FUTEX_CMP_REQUEUE_PI", "u", "2", "x", "x"),
)  # fmt: skip
_FUTEX_FORMS = {"x": " {}=0x{:08x}", "u": " {}={}", "2": " {}={}"}


def _futex(form: EventFormat, context: Context, learn: Learn) -> RecordText | None:
    from .compile import compile_print_format

    read = unpacker(form, context, "uaddr", "op", "val", "utime", "uaddr2", "val3")
    if read is None:
        return None
    plain = compile_print_format(form, context)

    def render(page: bytes, offset: int, size: int, cpu: int) -> str:
        uaddr, op, *values = (value & (1 << 64) - 1 for value in read(page, offset))
        command = op & ~(128 | 256)
        if command >= len(_FUTEX):
            return plain(page, offset, size)
        name, *forms = _FUTEX[command]
        text = (
            f"op={name}" + ("|FUTEX_PRIVATE_FLAG" if op & 128 else "") + ("|FUTEX_CLOCK_REALTIME" if op & 256 else "")
        )
        text += f" uaddr=0x{uaddr:08x}"
        for label, how, value in zip(("val", "utime", "uaddr2", "val3"), forms, values, strict=True):
            if how:
                text += _FUTEX_FORMS[how].format("val2" if how == "2" else label, value)
        return text

    return render


RENDERERS: dict[tuple[str, str], Callable[[EventFormat, Context, Learn], RecordText | None]] = {
    ("ftrace", "function"): _function,
    ("ftrace", "kernel_stack"): _kernel_stack,
    ("ftrace", "raw_data"): _raw_data,
    ("sched", "sched_switch"): _switch,
    ("sched", "sched_wakeup"): _wakeup,
    ("sched", "sched_wakeup_new"): _wakeup,
    **{("kmem", name): _call_site for name in (
        "kfree", "kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kmem_cache_free",
    )},
    ("timer", "hrtimer_expire_entry"): _hrtimer_expire,
    ("timer", "hrtimer_start"): _hrtimer_start,
    ("tlb", "tlb_flush"): _tlb_flush,
    ("syscalls", "sys_enter_futex"): _futex,
}  # fmt: skip
# Tracers' own events whose records end where their data do, which no print format can say.
RAGGED = {"kernel_stack": _kernel_stack, "raw_data": _raw_data}
# What these show depends on earlier records.
STATEFUL = frozenset((("ftrace", "function"),))
