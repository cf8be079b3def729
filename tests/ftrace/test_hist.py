"""Histograms: triggers from questions, the text of `hist` files, filters, and the same question over a file."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_trace import Maker

from kloupe.base.errors import UsageError
from kloupe.ftrace.events import trace_items
from kloupe.ftrace.hist.check import check_question
from kloupe.ftrace.hist.filters import parse_filter
from kloupe.ftrace.hist.offline import answer_offline
from kloupe.ftrace.hist.question import LATENCY, Key, Question, parse_key, sorted_rows
from kloupe.ftrace.hist.show import render_answer
from kloupe.ftrace.hist.triggers import make_plan, parse_hist
from kloupe.ftrace.report.options import ReportOptions
from kloupe.ftrace.source import open_trace

SWITCH, WAKING = ("sched", "sched_switch"), ("sched", "sched_waking")


def test_a_plain_histogram():
    question = Question(SWITCH, [Key("prev_comm"), Key("prev_prio", "log2")], ["prev_pid"], "prev_pid > 0", size=4096)
    plan = make_plan(question, "x", {})
    (trigger,) = plan.triggers
    assert trigger.text == "hist:keys=prev_comm,prev_prio.log2:vals=hitcount,prev_pid:size=4096 if prev_pid > 0"
    assert trigger.undo == "!" + trigger.text and not plan.synthetic and (plan.system, plan.event) == SWITCH


def test_a_latency():
    question = Question(WAKING, [Key("next_comm")], where="pid > 1", until=SWITCH, match=("pid", "next_pid"))
    plan = make_plan(question, "lat", {"next_comm": "char[16]"})
    assert plan.synthetic == "lat u64 latency_us; char next_comm[16]"
    assert [(t.system, t.event, t.text) for t in plan.triggers] == [
        ("sched", "sched_waking", "hist:keys=pid:kloupe_start=common_timestamp.usecs if pid > 1"),
        (
            "sched",
            "sched_switch",
            "hist:keys=next_pid:kloupe_lat=common_timestamp.usecs-$kloupe_start:"
            "onmatch(sched.sched_waking).trace(lat,$kloupe_lat,next_comm)",
        ),
        ("synthetic", "lat", "hist:keys=next_comm:vals=hitcount,latency_us"),
    ]


HIST = """# event histogram
#
# trigger info: hist:keys=next_comm,lat.log2:vals=hitcount,bytes:sort=hitcount:size=2048 [active]
#

{ next_comm: sh, with comma, lat: ~ 2^10                } hitcount:          1  bytes:        100
{ next_comm: swapper/1       , lat: ~ 2^5                 } hitcount:        196  bytes:          7

Totals:
    Hits: 197
    Entries: 2
    Dropped: 3
"""


def test_the_text_of_a_hist_file():
    answer = parse_hist(HIST, [Key("next_comm"), Key("lat", "log2")], ["bytes"])
    assert [(row.keys, row.hits, row.sums) for row in answer.rows] == [
        (("sh, with comma", 10), 1, [100]), (("swapper/1", 5), 196, [7]),
    ]  # fmt: skip
    assert (answer.hits, answer.dropped) == (197, 3)
    text = "".join(render_answer(answer))
    assert text.splitlines()[1].split()[:2] == ["swapper/1", "17-32"] and "3 dropped" in text
    assert [row.hits for row in sorted_rows(answer, "bytes")] == [1, 196]
    with pytest.raises(UsageError, match="no column"):
        sorted_rows(answer, "nothing")


def test_rows_that_print_the_same_are_one_and_times_may_be_negative():
    rows = [
        "{ next_comm: sh                  } hitcount:          2  latency_us: 18446744073709551606",
        "{ next_comm: sh                  } hitcount:          1  latency_us:          4",
    ]
    answer = parse_hist("\n".join([*rows, "", "Totals:", "    Hits: 3", ""]), [Key("next_comm")], [LATENCY])
    assert [(row.keys, row.hits, row.sums) for row in answer.rows] == [(("sh",), 3, [-6])]


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_of_a_hist_file(text):
    parse_hist(text, [Key("a"), Key("b", "log2")], ["v"])


FIELDS = {"pid": 7, "comm": "bash", "flags": 6, "value": -3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pid == 7", True), ("pid != 7", False), ("pid > 6 && pid <= 7", True), ('comm == "bash"', True), ("comm == bash", True),
        ('comm != "bash"', False), ('comm ~ "b*h"', True), ("flags & 2", True), ("flags & 8", False), ("value < 0", True),
        ("pid == 0x7", True), ("!(pid == 7)", False), ("pid == 1 || (pid == 7 && comm ~ 'ba*')", True), ("nothing == 1", False),
        ("value == -3", True), ("pid == 07", True), ("pid == 010", False), ("flags == 006", True),
    ],
)  # fmt: skip
def test_filters(text, expected):
    assert parse_filter(text)(FIELDS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pid",
        "pid ==",
        "pid = 7",
        "(pid == 7",
        "pid == 7 7",
        "comm < 'a'",
        "pid == 09",
        "&& pid",
        "!" * 300,
        "(" * 300,
    ],
)
def test_filters_that_are_not(text):
    with pytest.raises(UsageError, match="is not one"):
        parse_filter(text)


@pytest.mark.parametrize("text", ["a.b.c", "1x", "x.log3", ""])
def test_keys_that_are_not(text):
    with pytest.raises(UsageError, match="no key"):
        parse_key(text)


def test_over_a_file(tmp_path):
    maker = Maker()
    records = []
    for number in range(1, 6):
        at = 10_000_000 * number
        records += [
            (at, maker.wake(0, number, "cat")),
            (at + number * 3_000_000, maker.switch(("bash", 10), ("cat", number))),
        ]
    path = maker.write(tmp_path / "a.dat", sorted(records))
    trace = open_trace(str(path))

    def ask(question: Question):
        return answer_offline(trace, trace_items(trace, ReportOptions()), question)

    answer = ask(Question(SWITCH, [Key("prev_comm")], ["next_pid"], "next_pid > 1"))
    assert [(r.keys, r.hits, r.sums) for r in answer.rows] == [(("bash",), 4, [14])]
    answer = ask(Question(("demo", "wake"), [Key("value", "log2")]))
    assert {r.keys[0]: r.hits for r in answer.rows} == {0: 1, 1: 1, 2: 2, 3: 1}
    answer = ask(Question(("demo", "wake"), [Key("value", "buckets=2"), Key("name")]))
    assert {r.keys: r.hits for r in answer.rows} == {("0-1", "cat"): 1, ("2-3", "cat"): 2, ("4-5", "cat"): 2}
    answer = ask(Question(("demo", "wake"), [Key("next_pid")], until=SWITCH, match=("value", "next_pid")))
    assert {r.keys[0]: r.sums for r in answer.rows} == {n: [n * 3000] for n in range(1, 6)}
    with pytest.raises(UsageError, match="no field 'nothing'"):
        ask(Question(SWITCH, [Key("nothing")]))


def test_the_command_over_a_file(tmp_path):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", *maker.sample())

    def kloupe(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "kloupe", "ftrace", "hist", *words], capture_output=True, text=True, check=False
        )

    done = kloupe("wake", "--by", "name", "--value", "value", "--json", "--sort", "name", "-i", str(path))
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"keys": {"name": ""}, "hitcount": 1, "sums": {"value": 8}},
        {"keys": {"name": "one"}, "hitcount": 1, "sums": {"value": -3}},
        {"keys": {"name": "two"}, "hitcount": 1, "sums": {"value": 7}},
    ]
    assert "Did you mean 'demo:wake'?" in kloupe("demo:wak", "-i", str(path)).stderr


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(SWITCH, [Key("prev_comm", "log2")]), "is text, and log2 is for numbers"),
        (Question(SWITCH, [Key("prev_pid", "buckets=0")]), "how large a bucket is"),
        (Question(SWITCH, [Key("prev_pid", "buckets")]), "how large a bucket is"),
        (Question(SWITCH, [Key("prev_pid", "log2=3")]), "takes no number"),
        (Question(SWITCH, [Key(name) for name in ("prev_pid", "prev_comm", "next_pid", "next_comm")]), "at most 3"),
        (Question(SWITCH, values=["prev_comm"]), "is text, which has no sum"),
        (Question(SWITCH, values=["nothing"]), "no field 'nothing'"),
        (Question(SWITCH, where="prev_pid > 0 && nothing == 1"), "no field 'nothing'"),
        (Question(SWITCH, sort="nothing"), "no column"),
        (Question(SWITCH, size=3), "the kernel keeps 128 to 131072 rows"),
        (Question(("demo", "wake"), until=SWITCH, match=("value", "nothing")), "no field 'nothing'"),
        (Question(("demo", "wake"), until=SWITCH, match=("next_pid", "next_pid")), "demo:wake has no field 'next_pid'"),
        (Question(("demo", "wake"), until=SWITCH, until_where="value > 0", match=("value", "next_pid")), "no field 'value'"),
        (Question(("demo", "nothing")), "nothing is known"),
    ],
)  # fmt: skip
def test_questions_that_make_no_sense(tmp_path, question, said):
    trace = open_trace(str(Maker().write(tmp_path / "a.dat", [])))
    with pytest.raises(UsageError, match=said):
        check_question(question, lambda event: trace.formats.named(*event))


def test_generic_fields_over_a_file(tmp_path):
    maker = Maker()
    trace = open_trace(str(maker.write(tmp_path / "a.dat", *maker.sample())))
    question = Question(("demo", "wake"), [Key("cpu")], where='comm == "cat"')
    answer = answer_offline(trace, trace_items(trace, ReportOptions()), question)
    assert [(row.keys, row.hits) for row in answer.rows] == [((1,), 1)]
