"""Macro lookup and instantiation."""

from kloupe.base.diag import Diagnostics
from kloupe.base.source import Source
from kloupe.lang import nodes as n
from kloupe.lang.dump import dump_tree
from kloupe.lang.macros import Macros
from kloupe.lang.parser import parse_program


def load(text: str) -> tuple[n.Program, Macros, Diagnostics]:
    diagnostics = Diagnostics()
    program = parse_program(Source("stdin", text), diagnostics)
    assert not diagnostics.items
    return program, Macros(program.macros, diagnostics), diagnostics


def call_of(program: n.Program) -> n.Call:
    statement = program.probes[0].body[-1]
    assert isinstance(statement, n.ExprStmt) and isinstance(statement.value, n.Call)
    return statement.value


def expand(text: str) -> tuple[n.BlockExpr, Diagnostics, n.Call]:
    program, macros, diagnostics = load(text)
    call = call_of(program)
    macro = macros.lookup(call.name, call.arguments)
    assert macro is not None
    return macros.instantiate(macro, call, 7), diagnostics, call


def walk(node: n.Node) -> list[n.Node]:
    return [node, *(inner for child in node.children() for inner in walk(child))]


def names(node: n.Node, kind: type) -> list[str]:
    return [item.name for item in walk(node) if isinstance(item, kind)]


def test_overloads_by_count_and_kind() -> None:
    program, macros, _ = load(
        "macro f() { 0 } macro f($x) { 1 } macro f(@m) { 2 } macro f(e) { 3 } macro f(a, b) { 4 } "
        "begin { f($v); f(@m); f(1 + 2); f(@m[1]); f(1, 2); f(1, 2, 3); f(); g(); }"
    )
    calls = [s.value for s in program.probes[0].body if isinstance(s, n.ExprStmt)]
    found = [macros.lookup(c.name, c.arguments) for c in calls if isinstance(c, n.Call)]
    values = [m.value.value if m and isinstance(m.value, n.IntLiteral) else None for m in found]
    assert values == [1, 2, 3, 3, 4, None, 0, None]
    assert list(macros.names()) == ["f"] and "f" in macros and "g" not in macros


def test_hygiene_and_substitution() -> None:
    block, diagnostics, call = expand(
        "macro f($r, @m, e) { let $t = e; $r = $t; @m[$t] = e + 1; for $i : 0..3 { print($i); } $t } "
        "begin { $t = 1; f($t, @counts, $t * 2); }"
    )
    assert not diagnostics.items
    variables = names(block, n.Variable)
    assert {"$t#7", "$i#7", "$t"} == set(variables)
    assert set(names(block, n.Map)) == {"@counts"}
    first = block.body[0]
    assert isinstance(first, n.Let) and first.variable.name == "$t#7"
    assert isinstance(first.value, n.Binary) and names(first.value, n.Variable) == ["$t"]
    third = block.body[2]
    assert isinstance(third, n.Assign) and isinstance(third.value, n.Binary)
    assert first.value is not third.value.left  # every use is a tree of its own
    assert block.span is call.span


def test_spans_name_the_call() -> None:
    block, _, call = expand("macro f(e) { print(e) } begin { f(1 + 2); }")
    inner = block.value
    assert isinstance(inner, n.Call)
    assert inner.span.text == "print(e)" and inner.span.parent is call.span
    argument = inner.arguments[0]
    assert argument.span.text == "1 + 2" and argument.span.parent is not None
    assert argument.span.parent.text == "e" and argument.span.parent.parent is call.span


def test_variable_given_for_an_expression_is_wrapped() -> None:
    block, _, _ = expand("macro f(e) { e } begin { $v = 1; f($v); }")
    assert isinstance(block.value, n.BlockExpr) and isinstance(block.value.value, n.Variable)


def test_identifier_call() -> None:
    program, macros, _ = load("macro one() { 1 } begin { print(one); }")
    name = call_of(program).arguments[0]
    assert isinstance(name, n.Identifier)
    macro = macros.lookup("one", ())
    assert macro is not None
    block = macros.instantiate(macro, name, 1)
    assert isinstance(block.value, n.IntLiteral) and block.value.value == 1
    assert "IntLiteral" in dump_tree(program)


def test_types() -> None:
    block, diagnostics, _ = expand(
        "macro f(t, s) { print((t*)1); print((struct s)2); print(sizeof(t)); print(sizeof(s)); } begin { f(typeof(struct a*), b); }"
    )
    assert not diagnostics.items
    kinds = [(t.name, t.modifiers) for t in walk(block) if isinstance(t, n.TypeName)]
    assert kinds == [("struct a", ("*", "*")), ("struct b", ()), ("struct a", ("*",)), ("b", ())]


def test_sizeof_an_expression_parameter() -> None:
    block, _, _ = expand("macro f(e) { sizeof(e) } begin { f($x + 1); }")
    assert isinstance(block.value, n.SizeOf) and isinstance(block.value.operand, n.Binary)


def test_offsetof_path() -> None:
    block, _, _ = expand("macro f(t, p) { offsetof(t, p) } begin { f(typeof(struct a), b.c); }")
    assert isinstance(block.value, n.OffsetOf) and block.value.path == ("b", "c")


def test_mistakes() -> None:
    _, diagnostics, _ = expand("macro f() { @x++; let $y; } begin { f(); }")
    assert [i.message for i in diagnostics.items] == [
        "Unhygienic access to map: @x. Maps must be passed into the macro as arguments."
    ]
    _, diagnostics, _ = expand("macro f($y) { let $y; } begin { $z = 1; f($z); }")
    assert [i.message for i in diagnostics.items] == ["Variable declaration shadows macro arg $y"]
    _, _, diagnostics = load("macro f(a) { 1 } macro f(b) { 2 } macro g(a, a) { 1 } begin { }")
    assert [i.message for i in diagnostics.items] == [
        "Redefinition of macro: f",
        "Ident for macro argument has already been used: a",
    ]


def test_mismatch_is_explained() -> None:
    program, macros, diagnostics = load("macro f(@m) { 1 } begin { f($x); }")
    call = call_of(program)
    assert macros.lookup(call.name, call.arguments) is None
    assert macros.report_mismatch(call.name, call.arguments, call.span)
    assert [i.message for i in diagnostics.items] == [
        "Call to f() has arguments that do not match any definition.",
        "Mismatched arg. f() expects a map for arg @m but got a variable.",
    ]
    assert not macros.report_mismatch("g", (), call.span)


def test_library_macros_see_only_each_other() -> None:
    diagnostics = Diagnostics()
    own = parse_program(Source("a", "macro f() { 1 }"), diagnostics).macros
    library = parse_program(Source("b", "macro f() { 2 } macro g() { f() }"), diagnostics).macros
    macros = Macros(own, diagnostics, library)
    assert macros.lookup("f", ()) is own[0]
    assert macros.lookup("f", (), within=macros.lookup("g", ())) is library[0]
