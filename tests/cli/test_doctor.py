"""`kloupe doctor`: a line a check, advice with every no, and a status that says whether anything can be traced."""

import pytest

from kloupe.base.errors import MissingFacts, UsageError
from kloupe.cli import doctor
from kloupe.cli.doctor import Check, Finding


def answering(answer: bool | None, note: str = "") -> "Check":
    return Check("thing", lambda: Finding(answer, note), "mend it", vital=True)


def run_with(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> int:
    monkeypatch.setattr(doctor, "CHECKS", checks)
    return doctor.run([])


def test_a_no_comes_with_advice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(monkeypatch, answering(True, "seen"), answering(False, "gone"), answering(None)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "yes             thing: seen",
        "no              thing: gone. To do: mend it",
        "could not tell  thing",
    ]


def test_only_what_all_tracing_needs_makes_it_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, Check("extra", lambda: Finding(False), "nothing")) == 0
    assert run_with(monkeypatch, answering(None)) == 0


def test_a_fact_that_cannot_be_had_is_could_not_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask() -> Finding:
        raise MissingFacts("no such file")

    assert run_with(monkeypatch, Check("extra", ask, "nothing", vital=True)) == 0
    assert capsys.readouterr().out == "could not tell  extra: no such file\n"


def test_every_check_answers_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run([]) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.CHECKS)
    for line, check in zip(lines, doctor.CHECKS, strict=True):
        assert line.startswith(("yes ", "no ", "could not tell "))
        assert line[16:].startswith(check.title)
        assert (". To do: " in line) == line.startswith("no ")


def test_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="takes no arguments"):
        doctor.run(["now"])
