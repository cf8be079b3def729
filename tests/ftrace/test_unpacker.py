"""Whole-number fields of a format by name, wherever that kernel has them."""

import struct

from made_trace import COMMON, KALLSYMS, field

from kloupe.ftrace.decode.compile import Context
from kloupe.ftrace.decode.eventformat import parse_event_format
from kloupe.ftrace.decode.renderers import unpacker
from kloupe.ftrace.decode.symbols import Symbols

CONTEXT = Context("<", 8, Symbols(lambda: KALLSYMS), {})
BEFORE_5_13 = field("unsigned long func", 8, 8) + field("u64 calltime", 16, 8) + field("int depth", 24, 4, 1)


def test_fields_come_in_the_order_of_their_names():
    form = parse_event_format(
        "ftrace", f'name: funcgraph_exit\nID: 10\nformat:\n{COMMON}\n{BEFORE_5_13}\nprint fmt: ""\n'
    )
    assert form is not None
    record = struct.pack("<8xQQi", 7, 9, -2)
    for names, values in (
        (("func", "depth", "calltime"), (7, -2, 9)),
        (("calltime",), (9,)),
        (("func", "depth"), (7, -2)),
    ):
        read = unpacker(form, CONTEXT, *names)
        assert read is not None and read(record, 0) == values
    assert unpacker(form, CONTEXT, "func", "retval") is None
