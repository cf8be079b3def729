"""What a refusal says: the place in the script, the objection, what helps."""

import pytest

from kloupe.base.errors import VerifierError
from kloupe.cli.verifier import explain
from kloupe.image import Image, ProgramSpec, SourcePlace

TEXT = "fentry:f { print(path(args.p)); }"
PLACES = (SourcePlace("stdin", 1, 12, 31, TEXT), SourcePlace("stdin", 1, 18, 30, TEXT))
PROGRAM = ProgramSpec("f_1", "tracing", "trace_fentry", bytes(8 * 60), (), (), ((0, 0), (46, 1), (49, 0)), PLACES, ())
IMAGE = Image("stdin", "x86_64", (PROGRAM,), (), (), (), {})
OLD = "46: (bf) r1 = r7\n48: (85) call bpf_d_path#147\nhelper call is not allowed in probe\nprocessed 62 insns\n"
NEW = (
    "Reason: Use the helper only from an allowed attach point\n      1 | ...\n  >>> 2 | print(path(args.p));\n  Instruction context:\n      46 | (bf) r1 = r7\n"
    "  >>> 48 | (85) call bpf_d_path#147\n      49 | (85) call bpf_other#1\n      50 | (b7) r2 = 0\n"
)


@pytest.mark.parametrize("log", [OLD, NEW])
def test_a_helper_that_the_probe_may_not_use(log: str) -> None:
    message = explain(VerifierError("refused", program="f_1", log=log), image=IMAGE)
    lines = message.splitlines()
    assert lines[0] == "stdin:1:18-30: ERROR: helper bpf_d_path not allowed in probe"
    assert lines[1:3] == [TEXT, " " * 17 + "~" * 12]
    assert "HINT: The kernel allows this function only in some probes" in message


def test_an_unknown_objection_is_shown_as_it_is() -> None:
    message = explain(VerifierError("refused", program="f_1", log="0: (b7) r0 = 0\nR1 is bad\n"), image=IMAGE)
    assert message.startswith("stdin:1:12-31: ERROR: the kernel's verifier refused this\n")
    assert "It says: R1 is bad" in message
