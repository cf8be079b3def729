"""Questions answered by the kernel: triggers in an instance of our own, and a synthetic event for pairs."""

from __future__ import annotations

import os

from ...base.errors import NotSupported
from ..control.folder import TracingFolder
from ..control.session import Session
from ..decode.eventformat import EventField, EventFormat, parse_event_format
from .check import check_question
from .question import LATENCY, Answer, Key, Question
from .triggers import Plan, make_plan, parse_hist


def set_up(session: Session, question: Question) -> Plan:
    """Write the triggers. Raises UsageError for unknown fields, NotSupported where the kernel has no histograms."""
    top, knobs = session.top, session.knobs
    _require_histograms(top, question)
    check_question(question, lambda event: _format(top, event))
    if not question.keys:
        question.keys = [Key(LATENCY, "log2") if question.until else Key("common_pid")]
    name = f"kloupe_lat_{os.getpid()}"
    plan = make_plan(question, name, _field_types(top, question))
    if plan.synthetic:
        knobs.add("synthetic_events", plan.synthetic, f"!{plan.synthetic}", shared=True)
    for trigger in plan.triggers:
        knobs.add(f"events/{trigger.system}/{trigger.event}/trigger", trigger.text, trigger.undo)
    return plan


def _require_histograms(top: TracingFolder, question: Question) -> None:
    system, event = question.event
    if not top.has(f"events/{system}/{event}/hist"):
        raise NotSupported("this kernel has no histograms of events", hint="it needs CONFIG_HIST_TRIGGERS")
    if question.until is not None and not top.has("synthetic_events"):
        raise NotSupported("this kernel cannot make events of pairs of events", hint="it needs CONFIG_SYNTH_EVENTS")


def _format(top: TracingFolder, event: tuple[str, str]) -> EventFormat | None:
    return parse_event_format(event[0], top.read(f"events/{event[0]}/{event[1]}/format"))


def _field_types(top: TracingFolder, question: Question) -> dict[str, str]:
    """The types of the second event's fields, as synthetic events write them."""
    if question.until is None:
        return {}
    form = _format(top, question.until)
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
