"""Text to tree: shapes, spans, and the wording and place of syntax errors (observed with bpftrace 0.27.1)."""

import sys
from collections.abc import Callable

import pytest
from corpus import SCRIPTS

from kloupe.base.diag import Diagnostics, render_diagnostic
from kloupe.base.source import Source
from kloupe.lang import nodes as n
from kloupe.lang.dump import dump_tree
from kloupe.lang.parser import parse_defines, parse_expression_text, parse_program

CALLS_PER_BYTE = 40


def calls_made(work: Callable[[], object]) -> int:
    """How many calls of functions the work takes: what its time depends on, without the machine's load in it."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def parse(text: str, *params: str) -> n.Program:
    diagnostics = Diagnostics()
    program = parse_program(Source("stdin", text), diagnostics, params)
    assert not diagnostics.items, render_diagnostic(diagnostics.items[0])
    return program


def errors(text: str) -> list[str]:
    diagnostics = Diagnostics()
    parse_program(Source("stdin", text), diagnostics)
    return [f"{item.span.where()}: {item.message}" for item in diagnostics.items]


def expression(text: str) -> n.Expr:
    diagnostics = Diagnostics()
    found = parse_expression_text(Source("e", text), diagnostics)
    assert found is not None, [item.message for item in diagnostics.items]
    return found


def shape(expr: object) -> str:
    """An expression fully in parentheses."""
    match expr:
        case n.Binary():
            return f"({shape(expr.left)} {expr.op} {shape(expr.right)})"
        case n.Unary():
            return f"({expr.op}{shape(expr.operand)})"
        case n.IncDec():
            return f"({expr.op}{shape(expr.operand)})" if expr.prefix else f"({shape(expr.operand)}{expr.op})"
        case n.Ternary():
            return f"({shape(expr.condition)} ? {shape(expr.then)} : {shape(expr.otherwise)})"
        case n.FieldAccess():
            return f"{shape(expr.operand)}.{expr.field}"
        case n.Index():
            return f"{shape(expr.operand)}[{shape(expr.index)}]"
        case n.MapAccess():
            return f"{expr.map.name}[{shape(expr.key)}]"
        case n.Cast():
            return f"<{shape(expr.type)}>{shape(expr.operand)}"
        case n.TypeName():
            return expr.name + "".join(m if isinstance(m, str) else f"[{m}]" for m in expr.modifiers)
        case n.TypeOf() | n.SizeOf() | n.TypeInfo() | n.Comptime():
            return f"{type(expr).__name__}:{shape(expr.operand)}"
        case n.Tuple():
            return f"tuple({', '.join(map(shape, expr.elements))})"
        case n.Record():
            return f"record({', '.join(f'{m.name}={shape(m.value)}' for m in expr.members)})"
        case n.Call():
            return f"{expr.name}{'!' if expr.bang else ''}({', '.join(map(shape, expr.arguments))})"
        case n.IntLiteral() | n.BoolLiteral():
            return str(expr.value)
        case n.StringLiteral():
            return repr(expr.value)
        case n.PositionalParam():
            return f"${expr.index}"
        case n.PositionalCount():
            return "$#"
        case n.Identifier() | n.Variable() | n.Map():
            return expr.name
    raise AssertionError(expr)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("1 < 2 == 3 & 4 ^ 5 | 6 && 7 || 8", "(((((((1 < 2) == 3) & 4) ^ 5) | 6) && 7) || 8)"),
        ("1 << 2 + 3 >> 4", "((1 << (2 + 3)) >> 4)"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a ?: b", "(a ? a : b)"),
        ("-!~*$x", "(-(!(~(*$x))))"),
        ("*$x++", "(*($x++))"),
        ("++@m[1]", "(++@m[1])"),
        ("&$x + &@m", "((&$x) + (&@m))"),
        ("args->a.b[1].0", "args.a.b[1].0"),
        ("@m[1, \"a\"]", "@m[tuple(1, 'a')]"),
        ("@[pid]", "@[pid]"),
        ("(1, 2).0", "tuple(1, 2).0"),
        ("(1,)", "tuple(1)"),
        ("()", "tuple()"),
        ("(a=1, b=(c=2))", "record(a=1, b=record(c=2))"),
        ("(a == 1)", "(a == 1)"),
        ("(myident)", "myident"),
        ("(myident)*$a", "<myident>(*$a)"),
        ("(pid)*tid", "(pid * tid)"),
        ("(arg0)-1", "(arg0 - 1)"),
        ("(x) && y", "(x && y)"),
        ("(x) != y", "(x != y)"),
        ("(uint8)1 + 2", "(<uint8>1 + 2)"),
        ("(struct a **)arg0", "<struct a**>arg0"),
        ("(int32*[4])$x", "<int32*[4]>$x"),
        ("(int8[])\"abc\"", "<int8[-1]>'abc'"),
        ("(typeof($x))2", "<TypeOf:$x>2"),
        ("sizeof(uint64_t)", "SizeOf:uint64_t"),
        ("sizeof(uint64_t())", "SizeOf:uint64_t()"),
        ("sizeof(ident[1])", "SizeOf:ident[1]"),
        ("sizeof((ident)[1])", "SizeOf:ident[1]"),
        ("sizeof(pid)", "SizeOf:pid"),
        ("f(typeof(struct a), 1)", "f(TypeOf:struct a, 1)"),
        ("f!(1)", "f!(1)"),
        ("f () + g", "(f() + g)"),
        ("comptime 1 + 2", "(Comptime:1 + 2)"),
        ("$1 + $# + $x", "(($1 + $#) + $x)"),
        ("0777 + 0x1f_f + 1_000 + 2e6", f"((({0o777} + {0x1FF}) + 1000) + 2000000)"),
        ("1us + 1ms + 1s + 1m + 1h + 1d + 3ns", "((((((1000 + 1000000) + 1000000000) + 60000000000) + 3600000000000) + 86400000000000) + 3)"),
        ("18446744073709551615", "18446744073709551615"),
        (r'"a\n\t\"\\\x41\101"', repr('a\n\t"\\AA')),
        (r'"\xff\xc3\xa9"', repr("\udcffé")),
    ],
)  # fmt: skip
def test_expressions(text: str, wanted: str) -> None:
    assert shape(expression(text)) == wanted


def test_parenthesised_index_is_no_type() -> None:
    sized = expression("sizeof((ident)[1])")
    assert isinstance(sized, n.SizeOf) and isinstance(sized.operand, n.Index)


@pytest.mark.parametrize("script", SCRIPTS)
def test_corpus_parses_and_dumps(script: str) -> None:
    program = parse(script, "1")
    assert dump_tree(program).count("\n") > 1


def body(text: str) -> tuple[n.Stmt, ...]:
    return parse(f"begin {{ {text} }}").probes[0].body


def test_statement_kinds() -> None:
    kinds = [
        type(s).__name__ for s in body("let $x; $x = 1; @m[1] += 2; $x++; _ = 5; {1} if 1 {} for $i : @m {} return;")
    ]
    assert kinds == ["Let", "Assign", "Assign", "ExprStmt", "Discard", "Block", "If", "For", "Jump"]


def test_else_if_is_nested() -> None:
    (statement,) = body("if (a) { print(1) } else if (b) { print(2); } else { print(3); }")
    assert isinstance(statement, n.If) and isinstance(statement.otherwise[0], n.If)
    assert len(statement.then) == len(statement.otherwise[0].otherwise) == 1


def test_if_and_block_as_values() -> None:
    (assign,) = body("$x = if (a) { print(1); 2 } else { 3 };")
    assert isinstance(assign, n.Assign) and isinstance(assign.value, n.IfExpr)
    assert isinstance(assign.value.then, n.BlockExpr) and len(assign.value.then.body) == 1
    (without,) = body("$x = { print(1); };")
    assert isinstance(without, n.Assign) and isinstance(without.value, n.BlockExpr)
    assert isinstance(without.value.value, n.NoValue)


def test_macro_value_is_split_from_its_body() -> None:
    first, second = parse("macro a(x) { x; x + 1 } macro b() { if (1) { print(1); } } begin { }").macros
    assert len(first.body) == 1 and isinstance(first.value, n.Binary)
    assert isinstance(second.body[0], n.If) and second.value is None


def test_comptime_if_statement() -> None:
    for text in ("if comptime (1 == 1) { print(1); }", "comptime if (1 == 1) { print(1); }"):
        (statement,) = body(text)
        assert isinstance(statement, n.If) and isinstance(statement.condition, n.Comptime)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("kprobe:f", ("kprobe", "f")),
        ("k:f+0x10", ("k", "f+0x10")),
        ("BEGIN", ("BEGIN",)),
        ("software:faults:", ("software", "faults", "")),
        ("uprobe:/bin/a b", None),
        ('uprobe:"/bin/a b":"c::d(int, long)"', ("uprobe", "/bin/a b", "c::d(int, long)")),
        ('uprobe:"/a\\"b":f', ("uprobe", '/a"b', "f")),
        ("uprobe:/bin/bash@readline.c:362", ("uprobe", "/bin/bash", "@", "readline.c", "362")),
        ("uprobe:$1:$2", ("uprobe", "/bin/x", "f")),
        ("kprobe:$9", ("kprobe", "")),
        ('kprobe:"$1"', ("kprobe", "$1")),
        ("watchpoint:0x123:8:rw", ("watchpoint", "0x123", "8", "rw")),
        ("tracepoint:sys*:sys_[e]*", ("tracepoint", "sys*", "sys_[e]*")),
        ("interval:10ms", ("interval", "10ms")),
    ],
)
def test_attach_points(text: str, wanted: tuple[str, ...] | None) -> None:
    if wanted is None:
        assert errors(text + " { }")
        return
    (point,) = parse(text + " { }", "/bin/x", "f").probes[0].attach_points
    assert (point.provider, *point.parts) == wanted
    assert point.span.text == text


def test_probe_list_predicate_and_name() -> None:
    probe = parse("n=kprobe:a,\nkprobe:b /* c */ /pid / 2 == 1/ { }").probes[0]
    assert probe.name == "n" and [p.text for p in probe.attach_points] == ["kprobe:a", "kprobe:b"]
    assert shape(probe.predicate) == "((pid / 2) == 1)"


def test_program_parts() -> None:
    program = parse(
        '#!/bin/x\n#define A 1\nstruct s { int x; } // c\nenum e { B }\nconfig = { BPFTRACE_MAX_STRLEN=5; b = true; c = "d" }'
        'import "a.bt"; let @m = hash(7); macro m(@a, $b, c) { } begin { }'
    )
    assert program.shebang == "#!/bin/x"
    assert (
        program.c_text is not None
        and program.c_text.text.startswith("#define A 1\nstruct")
        and "enum e" in program.c_text.text
    )
    assert [(entry.key, entry.value) for entry in program.config] == [("max_strlen", 5), ("b", True), ("c", "d")]
    assert program.imports[0].path == "a.bt"
    assert (program.map_decls[0].map.name, program.map_decls[0].kind, program.map_decls[0].max_entries) == (
        "@m",
        "hash",
        7,
    )
    assert [type(p).__name__ for p in program.macros[0].parameters] == ["Map", "Variable", "Identifier"]


def test_spans_are_exact() -> None:
    (assign, call) = body("$x = (1 + $y); print((uint8)$x, @m[1]) ")
    assert isinstance(assign, n.Assign) and assign.span.text == "$x = (1 + $y)"
    assert assign.value.span.text == "1 + $y"
    assert isinstance(call, n.ExprStmt) and isinstance(call.value, n.Call)
    assert [a.span.text for a in call.value.arguments] == ["(uint8)", "@m[1]"]  # casts as bpftrace reports them
    assert call.value.name_span.text == "print"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("begin { print(1 }", ["stdin:1:17-18: syntax: expected ')'"]),
        ("begin { print(1", ["stdin:1:16-16: syntax: expected ')'", "stdin:1:16-16: syntax: expected ';'"]),
        ("begin { $x = }", ["stdin:1:14-15: syntax: expected expression"]),
        ("begin { foo bar; }", ["stdin:1:13-16: syntax: expected ';'"]),
        ("begin", ["stdin:1:6-6: syntax: expected '{'"]),
        ("begin { \"abc }", ["stdin:1:15-15: syntax: unterminated string", "stdin:1:15-15: syntax: expected ';'"]),
        ("begin { print(\"\\q\"); }", ["stdin:1:17-18: syntax: invalid escape character '\\q'"]),
        ("begin { print(5zz); }", ["stdin:1:16-18: syntax: invalid integer suffix 'zz'"]),
        ("begin { print(12UL); }", ["stdin:1:15-19: syntax: invalid trailing bytes: 12UL"]),
        ("begin { print(08); }", ["stdin:1:15-17: syntax: invalid trailing bytes: 08"]),
        ("begin { print(1_); }", ["stdin:1:16-17: syntax: trailing underscore in integer literal"]),
        ("begin { print(12e3); }", ["stdin:1:15-19: syntax: coefficient part of scientific literal must be 1-9: 12e3"]),
        ("begin { (1+2)++; }", ["stdin:1:14-16: syntax: increment/decrement requires a variable or map"]),
        ("begin { let x; }", ["stdin:1:13-14: syntax: expected variable after 'let'"]),
        ("begin { for (x : @m) {} }", ["stdin:1:14-15: syntax: expected variable in for loop"]),
        ("begin { $0 }", ["stdin:1:9-11: syntax: param $0 is out of integer range [1, 9223372036854775807]"]),
        ("begin { } struct a { int x; }", ["stdin:1:11-30: syntax: C definitions must appear before probes and functions"]),
        ("begin /pid == 1 { }", ["stdin:1:17-18: syntax: expected '/' to close predicate"]),
        ("macro f(pid) { 1 }", ["stdin:1:9-12: syntax: builtin 'pid' can't be used as a macro argument"]),
        ("begin { print((a=1, a=2)); }", ["stdin:1:21-24: syntax: Named argument list already contains name: a"]),
        ("kprobe:$x { }", ['stdin:1:1-10: invalid trailing character for positional param: x. Try quoting this entire part if this is intentional e.g. "$x".']),
    ],
)  # fmt: skip
def test_errors(text: str, wanted: list[str]) -> None:
    assert errors(text) == wanted


@pytest.mark.parametrize(
    "inner",
    [
        "(" * 50_000 + "1" + ")" * 50_000,
        "{" * 50_000,
        "if (1) {" * 5_000,
        "print(" * 20_000,
        "1" + " + 1" * 50_000,
        "-" * 50_000 + "1",
        "$x" + ".a" * 50_000,
        "$x" + "[0]" * 20_000,
        "(int32)" * 20_000 + "1",
        "1 ? 1 : " * 20_000 + "1",
        "if (1) {} " + "else if (2) {} " * 5_000,
        "$x = (int32" + "*" * 50_000 + ")1",
        "comptime " * 20_000 + "1",
        "@m[" * 20_000,
    ],
    ids=lambda text: text[:12],
)
def test_deep_nesting_is_an_error_and_fast(inner: str) -> None:
    found: list[str] = []
    calls = calls_made(lambda: found.extend(errors(f"begin {{ {inner}; }}")))
    assert found and ("deep" in found[-1] or "pointers" in found[-1])
    assert calls < CALLS_PER_BYTE * len(inner)


@pytest.mark.parametrize(
    "head",
    ["struct a" + "()" * 5_000, "struct a" + "(" * 5_000, "/*" * 20_000, "begin /" + " /" * 20_000],
    ids=lambda text: text[:12],
)
def test_lookahead_is_linear(head: str) -> None:
    assert calls_made(lambda: errors(head)) < CALLS_PER_BYTE * len(head)


def test_parsing_is_linear() -> None:
    line = (
        '$x{0} = (uint64)arg{1} + {0}; @m[pid, comm] = count(); if ($x{0} > 5 && @m[1, "a"] == 3) {{ print($x{0}); }}\n'
    )
    text = "begin {\n" + "".join(line.format(i, i % 6) for i in range(400)) + "}\n"
    assert len(parse(text).probes[0].body) == 1200
    assert calls_made(lambda: parse(text)) < CALLS_PER_BYTE * len(text)


def test_defines() -> None:
    found = parse_defines({"A": "1 + 2", "B": "struct x", "C": '"s"', "D": ""})
    assert sorted(found) == ["A", "C"] and shape(found["A"]) == "(1 + 2)"
