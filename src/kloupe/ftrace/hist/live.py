"""Questions answered by the kernel: triggers in an instance of our own, and a synthetic event for pairs."""

from __future__ import annotations

import os

from ...base.errors import UsageError
from ..control.folder import TracingFolder
from ..control.session import Session
from ..control.setup import field_names
from ..decode.eventformat import EventField, parse_event_format
from .question import LATENCY, Answer, Key, Question
from .triggers import Plan, make_plan, parse_hist


def set_up(session: Session, question: Question) -> Plan:
    """Write the triggers. Raises UsageError for unknown fields, NotSupported where the kernel has no histograms."""
    top, knobs = session.top, session.knobs
    if not question.keys:
        question.keys = [Key(LATENCY, "log2") if question.until else Key("common_pid")]
    name = f"kloupe_lat_{os.getpid()}"
    plan = make_plan(question, name, _field_types(top, question))
    _require_fields(top, question)
    if plan.synthetic:
        knobs.add("synthetic_events", plan.synthetic, f"!{plan.synthetic}", shared=True)
    for trigger in plan.triggers:
        knobs.add(f"events/{trigger.system}/{trigger.event}/trigger", trigger.text, trigger.undo)
    return plan


def _require_fields(top: TracingFolder, question: Question) -> None:
    for (system, event), names in _wanted_fields(question).items():
        known = field_names(top, f"events/{system}/{event}")
        for name in names:
            if name not in known and name not in (
                "common_timestamp",
                "common_cpu",
                "stacktrace",
                "common_stacktrace",
                "cpu",
                LATENCY,
            ):
                raise UsageError(f"{system}:{event} has no field {name!r}", hint=f"it has: {', '.join(known)}")


def _wanted_fields(question: Question) -> dict[tuple[str, str], list[str]]:
    asked = [key.field for key in question.keys] + question.values
    if question.until is None:
        return {question.event: asked}
    wanted = {question.event: [question.match[0]]}
    wanted.setdefault(question.until, []).extend([question.match[1], *asked])
    return wanted


def _field_types(top: TracingFolder, question: Question) -> dict[str, str]:
    """The types of the second event's fields, as synthetic events write them."""
    if question.until is None:
        return {}
    system, event = question.until
    form = parse_event_format(system, top.read(f"events/{system}/{event}/format"))
    return {f.name: _type(f) for f in form.fields} if form is not None else {}


def _type(field: EventField) -> str:
    if field.dynamic:
        return "char[]"
    if field.is_text:
        return f"char[{field.size}]"
    return f"{'s' if field.signed else 'u'}{8 * field.size}" if field.size in (1, 2, 4, 8) else "u64"


def read_answer(session: Session, plan: Plan, question: Question) -> Answer:
    """The histogram that the kernel has gathered."""
    values = question.values or ([LATENCY] if question.until else [])
    return parse_hist(session.folder.read(f"events/{plan.system}/{plan.event}/hist"), question.keys, values)
