"""Print formats: what each construct gives, and that nothing but our own error comes out of any text."""

import random
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_trace import COMMON, KALLSYMS, field

from kloupe.ftrace.decode.compile import Context, compile_print_format
from kloupe.ftrace.decode.eventformat import parse_event_format
from kloupe.ftrace.decode.printfmt import PrintFormatError, parse_print_format
from kloupe.ftrace.decode.symbols import Symbols

FIELDS = (
    field("int number", 8, 4, 1) + field("u64 big", 16, 8) + field("u32 flags", 24, 4) + field("char text[8]", 28, 8)
    + field("u8 addr[16]", 36, 16) + field("__data_loc char[] name", 52, 4) + field("__data_loc u32[] list", 56, 4)
    + field("void * where", 64, 8) + field("s16 little", 72, 2, 1) + field("u8 mac[6]", 74, 6) + field("__data_loc unsigned long[] mask", 80, 4)
)  # fmt: skip
RECORD = struct.pack(
    "<HBBi i4xQI8s16sII4xQh6sI", 1, 0, 0, 5, -7, 1 << 63 | 5, 6, b"hi\0junk!", bytes([10, 0, 0, 1] * 4), 5 << 16 | 84, 8 << 16 | 92,
    0xFFFFFFFF81000010, -2, bytes(range(6)), 8 << 16 | 100,
) + b"name\0\0\0\0" + struct.pack("<IIQ", 3, 0x10, 0b1011)  # fmt: skip
CONTEXT = Context("<", 8, Symbols(lambda: KALLSYMS), {5: "from printk"})

CASES = {
    '"%d %u", REC->number, REC->number': "-7 4294967289",
    '"%x %#x %08lx", REC->number, REC->flags, REC->flags': "fffffff9 0x6 00000006",
    '"%llu %lld", REC->big, REC->big': f"{1 << 63 | 5} {(1 << 63 | 5) - (1 << 64)}",
    '"%s|%-6s|%.1s|%5.1s", REC->text, REC->text, REC->text, REC->text': "hi|hi    |h|    h",
    '"%s", __get_str(name)': "name",
    '"100%% %c", 65': "100% A",
    '"%d", REC->number < 0 ? 1 : 2': "1",
    '"%d", (u32)REC->number > 5 && !(REC->flags & 1)': "1",
    '"%s", REC->flags & 4 ? "on" : "off"': "on",
    '"%s", __print_flags(REC->flags, "|", {2, "TWO"}, {1 << 2, "FOUR"}, { 8, "EIGHT" })': "TWO|FOUR",
    '"%s", __print_flags(REC->flags, " ", {2, "TWO"})': "TWO 0x4",
    '"%s", __print_flags(0, "|", {2, "TWO"})': "",
    '"%s", __print_symbolic(REC->number, {-7, "minus"}, {1, "one"})': "minus",
    '"%s", __print_symbolic(REC->flags, { 1, "one" })': "0x6",
    '"%s", __print_hex(REC->addr, 3)': "0a 00 00",
    '"%s", __print_hex_str(REC->addr, 3)': "0a0000",
    '"%s", __print_array(__get_dynamic_array(list), __get_dynamic_array_len(list) / 4, 4)': "{0x3,0x10}",
    '"%d", ((u32 *)__get_dynamic_array(list))[1]': "16",
    '"%pS %ps %pF", REC->where, (void *)REC->where, REC->where': "vfs_read+0x10 vfs_read vfs_read+0x10",
    '"%p %p", REC->where, 0': "0xffffffff81000010 (nil)",
    '"%pM %pm %pMR %pMF", REC->mac, REC->mac, REC->mac, REC->mac': "00:01:02:03:04:05 000102030405 05:04:03:02:01:00 00-01-02-03-04-05",
    '"%pI6 %pI6c", REC->addr, REC->addr': "0a00:0001:0a00:0001:0a00:0001:0a00:0001 a00:1:a00:1:a00:1:a00:1",
    '"%pUb", REC->addr': "0a000001-0a00-0001-0a00-00010a000001",
    '"%s %s", __get_bitmask(mask), __get_cpumask(mask)': "00000000,0000000b 0-1,3",
    '"%*d|%-*d|", 4, REC->flags, 3, REC->flags': "   6|6  |",
    '"%d %d", sizeof(u64), REC->little': "8 -2",
    '"%hd %hhu", REC->number, REC->number': "-7 249",
    '"%lu.%06lu", REC->big / 1000000, REC->big % 1000000': f"{(1 << 63 | 5) // 1000000}.{(1 << 63 | 5) % 1000000:06d}",
    '"%d", REC->number / 2': "-3",
    '"%d %d", REC->flags << 2, REC->flags >> 1': "24 3",
    '"%u", ~REC->flags': str((1 << 32) - 7),
    '"%u", REC->flags - 7': str((1 << 32) - 1),
    '"%s", REC->ent.pid ? "pid" : ""': "pid",
    '"a" "b %d" "c", REC->flags': "ab 6c",
    '"%d", (int)(REC->big)': "5",
    '"tab\\there\\n"': "tab\there\n",
    '"%s", (char *)5': "from printk",
    '"%d", __builtin_expect(REC->flags, 0)': "6",
    '"%phN %*ph", __get_dynamic_array(list), 2, __get_dynamic_array(list)': "03 03 00",
}


def compiled(print_fmt: str):
    text = f"name: demo\nID: 1\nformat:\n{COMMON}\n{FIELDS}\nprint fmt: {print_fmt}\n"
    form = parse_event_format("test", text)
    assert form is not None
    return compile_print_format(form, CONTEXT)


@pytest.mark.parametrize("print_fmt", CASES)
def test_construct(print_fmt):
    padding = b"before"
    render = compiled(print_fmt)
    assert render(padding + RECORD + b"behind", len(padding), len(RECORD)) == CASES[print_fmt]


@pytest.mark.parametrize(
    "print_fmt",
    [
        '"%d"',
        '"%d", REC->none',
        '"%d", f(1)',
        '"%d", (',
        "nothing",
        '"%d", 1 2',
        '"%q", 1',
        '"%s", __get_str(number)',
        "(" * 500,
    ],
)
def test_what_is_not_understood(print_fmt):
    with pytest.raises(PrintFormatError):
        compiled(print_fmt)


PIECES = [*'"%d%s', "REC->number", "REC->text", "(", ")", "{", "}", ",", "?", ":", "+", "__print_flags(", "__get_str(name)", '"x"', "1", "<<", "(u32)", "*", "&", "[", "]", "!", "sizeof(", "->"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=25))
@settings(max_examples=500, deadline=None)
def test_any_text_is_compiled_or_refused(pieces):
    try:
        render = compiled('"%d", ' + " ".join(pieces))
    except PrintFormatError:
        return
    with suppress(ArithmeticError, ValueError, LookupError, TypeError):  # a report shows these as the event's text
        assert isinstance(render(RECORD, 0, len(RECORD)), str)


def test_random_bytes_are_refused():
    chance = random.Random(1)
    for _ in range(300):
        text = "".join(chr(chance.randrange(1, 256)) for _ in range(chance.randrange(60)))
        try:
            parse_print_format(text)
        except PrintFormatError as error:
            assert str(error)
