"""The arguments that function tracers have recorded, as text of a report."""

from __future__ import annotations

from ..decode.eventformat import EventField
from ..decode.signatures import report_arguments, words_of
from ..source import Trace


class ArgumentsText:
    """Gives the arguments of a record, whose last field they are."""

    def __init__(self, trace: Trace, field: EventField) -> None:
        self._trace = trace
        self._begin = field.offset

    def __call__(self, record: bytes, function: int) -> str:
        """`fd=3, count=0x340`, for a function's address."""
        trace = self._trace
        signatures, name = trace.signatures, trace.context.symbols[function][0]
        # What the compiler has made of a function has its name with an ending: f.isra.0
        signature = signatures.function(name) or signatures.function(name.partition(".")[0])
        values = words_of(record[self._begin :], trace.order, trace.long_bytes)
        return report_arguments(signature, values, trace.long_bytes)
