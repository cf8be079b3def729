"""The formatter. The wanted texts are what bpftrace 0.27.1 prints, but for comments inside expressions, which it drops."""

import pytest
from corpus import SCRIPTS

from kloupe.base.diag import Diagnostics
from kloupe.base.errors import ScriptError
from kloupe.base.source import Source
from kloupe.lang.parser import parse_program
from kloupe.lang.printer import format_source


def fmt(text: str) -> str:
    return format_source(Source("x", text), Diagnostics())


def inside(text: str) -> str:
    shown = fmt(f"begin {{ {text} }}").splitlines()
    assert shown[:2] == ["begin", "{"] and shown[-1] == "}"
    return "\n".join(line[2:] for line in shown[2:-1])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$x=1+2*3;", "$x = 1 + (2 * 3);"),
        ("$x = -$y++ ;", "$x = -($y++);"),
        ("$x = $x + 5;", "$x += 5;"),
        ("@b[(1,2)] = (1,(2,3));", "@b[1, 2] = (1, (2, 3));"),
        ("$r=(a=1,b=2+3);", "$r = (a=1, b=(2 + 3));"),
        ("print((1,))", "print((1,));"),
        ("$v = $p->x.y[0] ? 1 : (2 + 3);", "$v = $p.x.y[0] ? 1 : (2 + 3);"),
        ("let $w:uint64=(uint64)(1+2);", "let $w : uint64 = (uint64)(1 + 2);"),
        ("unroll(2) { @u++ }", "unroll (2) {\n  @u++;\n}"),
        ("for ($i : 0..3) { }", "for $i : 0..3 {}"),
        ("for ($i : 0..ncpus) { f() }", "for $i : 0..(ncpus) {\n  f();\n}"),
        ("while($x<3){$x++}", "while ($x < 3) {\n  $x++;\n}"),
        ("if (1) { f() } else if ($x == 2) { g(); } else { }", "if 1 {\n  f();\n} else if ($x == 2) {\n  g();\n} else {}"),
        ("$y = if (1) { 2 } else { 3 };", "$y = if 1 { 2 } else { 3 };"),
        ("$y = { let $z = 1; $z };", "$y = {\n  let $z = 1;\n  $z\n};"),
        ('print("a\\x01\\n\\"");', 'print("a\\x01\\n\\"");'),
        ("print(0xff, 1_000, 5ms);", "print(0xff, 1_000, 5ms);"),
        ("print(sizeof((ident)[1]), (int32*[4])$x, f(typeof(struct s)));", "print(sizeof((ident[1])), (int32*[4])$x, f(typeof(struct s)));"),
        ("return 5; ", "return 5;"),
        ("f(1); // behind\n\n\n/* two\n * lines */\ng();", "f(1);\n// behind\n\n\n// two\n// lines\ng();"),
        ("f(/* kept */ 1);", "// kept\nf(1);"),
        (
            'print("this is a long line that goes on and on %d %d %d\\n", $x, $y, $zzzzzzzzzzzzzzzzz, 12345678);',
            'print("this is a long line that goes on and on %d %d %d\\n",\n      $x, $y, $zzzzzzzzzzzzzzzzz, 12345678);',
        ),
        (
            "$x = $aaaaaaaaaaaaaaaaaaaaaaaaaaaaa && $bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb || $ccccccccccccccccccccccccccc && $ddddddd;",
            "$x = ($aaaaaaaaaaaaaaaaaaaaaaaaaaaaa && $bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb) ||\n     ($ccccccccccccccccccccccccccc && $ddddddd);",
        ),
    ],
)  # fmt: skip
def test_statements(text: str, wanted: str) -> None:
    assert inside(text) == wanted


def test_program() -> None:
    text = (
        '#!/usr/bin/env bpftrace\n// head\n#include <linux/x.h>\nstruct a { int x; }\nconfig = { BPFTRACE_MAX_STRLEN=128; s = "a b" }\n\n'
        'import "a.bt";\nlet @m=hash(10)\nmacro f(@m,$x,e){ e }\nkprobe:f,kprobe:"g h" /pid==1/{ f(@m,$x,1) }\n// eof\n'
    )  # fmt: skip
    assert fmt(text) == (
        "#!/usr/bin/env bpftrace\n// head\n#include <linux/x.h>\nstruct a { int x; };\n"
        'config = {\n  BPFTRACE_MAX_STRLEN = 128;\n  s = "a b";\n}\n\n'
        'import "a.bt";\nlet @m = hash(10);\n\nmacro f(@m, $x, e)\n{\n  e\n}\n'
        'kprobe:f,\nkprobe:"g h"\n/pid == 1/\n{\n  f(@m, $x, 1);\n}\n// eof\n'
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_formatting_twice_changes_nothing_and_keeps_comments(script: str) -> None:
    once = fmt(script)
    assert fmt(once) == once
    before, after = Diagnostics(), Diagnostics()
    first, second = parse_program(Source("a", script), before), parse_program(Source("b", once), after)
    assert len(first.probes) == len(second.probes) and len(first.macros) == len(second.macros)
    for word in ("a comment", "inner", "first", "behind", "last", "tail"):
        assert (word in script) <= (word in once)


def test_syntax_errors_are_raised() -> None:
    with pytest.raises(ScriptError):
        fmt("begin {")
