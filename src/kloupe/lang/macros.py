"""Macros: which definition a call means, and the fresh tree it stands for. The analysis asks while it walks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..base.diag import Diagnostics, Note
from ..base.source import Span
from . import nodes as n

Argument = n.Expr | n.TypeName | n.TypeOf
_TAGS = ("struct", "union", "enum")
_FAR = 1024  # a missing or surplus argument weighs more than any number of arguments of the wrong kind


class Macros:
    """The macros of a program (`defs`) in front of those of the library (`library`, or what `load` gives for a name).

    Mistakes inside definitions and calls go to `diagnostics` when there is one.
    """

    def __init__(
        self,
        defs: Sequence[n.MacroDef],
        diagnostics: Diagnostics | None = None,
        library: Sequence[n.MacroDef] = (),
        load: Callable[[str], Sequence[n.MacroDef]] | None = None,
    ) -> None:
        self._diagnostics = diagnostics if diagnostics is not None else Diagnostics()
        self._library = {id(macro) for macro in library}
        self._load = load
        self._cycles: dict[n.MacroDef, tuple[str, ...]] = {}
        self._user_rows: dict[str, list[n.MacroDef]] = {}
        self._library_rows: dict[str, list[n.MacroDef]] = {}
        for rows, macros in ((self._user_rows, defs), (self._library_rows, library)):
            for macro in macros:
                self._define(rows, macro)

    def __contains__(self, name: str) -> bool:
        return name in self._user_rows or bool(self._library_of(name))

    def names(self) -> Iterator[str]:
        """All macro names."""
        yield from self._user_rows
        yield from (name for name, rows in self._library_rows.items() if rows and name not in self._user_rows)

    def lookup(self, name: str, arguments: Sequence[Argument], within: n.MacroDef | None = None) -> n.MacroDef | None:
        """The macro that takes these arguments: as many, maps for maps, variables for variables; any expression else.

        The program's own come first, but inside a library macro (`within`) only library macros are seen.
        """
        inside_library = within is not None and id(within) in self._library
        own = () if inside_library else self._user_rows.get(name, ())
        for rows in (own, self._library_of(name)):
            for macro in rows:
                if not _distance(macro.parameters, arguments):
                    return macro
        return None

    def cycle(self, macro: n.MacroDef) -> tuple[str, ...]:
        """The names from `macro` through the calls in its body back to one of them; () when it always comes to an end."""
        found = self._cycles.get(macro)
        if found is None:
            found = self._cycles[macro] = self._cycle_from(macro, ())
        return found

    def _cycle_from(self, macro: n.MacroDef, path: tuple[n.MacroDef, ...]) -> tuple[str, ...]:
        path = (*path, macro)
        parameters = {parameter.name for parameter in macro.parameters}
        for node in _all_nodes(macro):
            if not isinstance(node, (n.Call, n.Identifier)) or node.name in parameters:
                continue
            called = self.lookup(node.name, node.arguments if isinstance(node, n.Call) else (), macro)
            if called is not None and called in path:
                return tuple(each.name for each in (*path, called))
            if called is not None and self._cycles.get(called) != ():
                found = self._cycle_from(called, path)
                if found:
                    return found
        self._cycles[macro] = ()
        return ()

    def _library_of(self, name: str) -> Sequence[n.MacroDef]:
        rows = self._library_rows.get(name)
        if rows is None and self._load is not None:
            rows = self._library_rows[name] = list(self._load(name))
            self._library.update(map(id, rows))
        return rows or ()

    def report_mismatch(self, name: str, arguments: Sequence[Argument], span: Span) -> bool:
        """Say why no definition of macro `name` takes `arguments`; False when there is no such macro at all."""
        rows = [*self._user_rows.get(name, ()), *self._library_of(name)]
        if not rows:
            return False
        closest = min(rows, key=lambda macro: _distance(macro.parameters, arguments))
        error = self._diagnostics.error
        notes = []
        if len(closest.parameters) != len(arguments):
            why = (
                f"The closest definition of {name}() has a different number of arguments. "
                f"Expected: {len(closest.parameters)} but got {len(arguments)}"
            )
            notes.append(Note(closest.span, why))
        error(span, f"Call to {name}() has arguments that do not match any definition.", notes=notes)
        for parameter, argument in zip(closest.parameters, arguments, strict=False):
            if _fits(parameter, argument) or notes:
                continue
            wanted = "map" if isinstance(parameter, n.Map) else "variable"
            got = (
                "map"
                if isinstance(argument, n.Map)
                else "variable"
                if isinstance(argument, n.Variable)
                else "expression"
            )
            article = "an" if got == "expression" else "a"
            error(
                argument.span,
                f"Mismatched arg. {name}() expects a {wanted} for arg {parameter.name} but got {article} {got}.",
                notes=[Note(parameter.span, "This is the argument in the closest definition.")],
            )
        return True

    def instantiate(self, macro: n.MacroDef, call: n.Identifier | n.Call, unique_id: int) -> n.BlockExpr:
        """A fresh tree for one call. Variables of the macro's own are renamed `$x#<unique_id>`, spans are `within` the call's."""
        arguments = call.arguments if isinstance(call, n.Call) else ()
        copier = _Copier(macro, arguments, call.span, unique_id, self._diagnostics)
        body = tuple(copier.copy(statement) for statement in macro.body)
        value = n.NoValue(macro.span.within(call.span)) if macro.value is None else copier.copy(macro.value)
        return n.BlockExpr(call.span, body, value)

    def _define(self, rows: dict[str, list[n.MacroDef]], macro: n.MacroDef) -> None:
        same = rows.setdefault(macro.name, [])
        known = next((m for m in same if not _distance(m.parameters, macro.parameters)), None)
        if known is not None:
            note = Note(known.span, "This is the original definition.")
            self._diagnostics.error(macro.span, f"Redefinition of macro: {macro.name}", notes=[note])
            return
        seen = set()
        for parameter in macro.parameters:
            if parameter.name in seen:
                kind = {n.Variable: "Variable", n.Map: "Map"}.get(type(parameter), "Ident")
                message = f"{kind} for macro argument has already been used: {parameter.name}"
                self._diagnostics.error(parameter.span, message)
                return
            seen.add(parameter.name)
        same.append(macro)


def _all_nodes(node: n.Node) -> Iterator[n.Node]:
    for child in node.children():
        yield child
        yield from _all_nodes(child)


def _fits(parameter: n.Variable | n.Map | n.Identifier, argument: Argument) -> bool:
    return isinstance(parameter, n.Identifier) or type(parameter) is type(argument)


def _distance(parameters: Sequence[n.Variable | n.Map | n.Identifier], arguments: Sequence[Argument]) -> int:
    apart = _FAR * abs(len(parameters) - len(arguments))
    return apart + sum(not _fits(p, a) for p, a in zip(parameters, arguments, strict=False))


class _Copier:
    """Copies a macro's body for one call. Everything is generic over the nodes' fields but for what names parameters."""

    def __init__(
        self,
        macro: n.MacroDef,
        arguments: Iterable[Argument],
        call: Span,
        unique_id: int,
        diagnostics: Diagnostics,
    ) -> None:
        self.macro = macro
        self.parent = call
        self.suffix = f"#{unique_id}"
        self.diagnostics = diagnostics
        self.variables: dict[str, str] = {}
        self.maps: dict[str, str] = {}
        self.expressions: dict[str, Argument] = {}
        for parameter, argument in zip(macro.parameters, arguments, strict=True):
            if isinstance(parameter, n.Variable) and isinstance(argument, n.Variable):
                self.variables[parameter.name] = argument.name
            elif isinstance(parameter, n.Map) and isinstance(argument, n.Map):
                self.maps[parameter.name] = argument.name
            else:
                self.expressions[parameter.name] = argument
        # Names left alone need no look: most nodes of most macros take the generic path.
        self.special: dict[type[n.Node], Any] = {
            n.Variable: self._variable,
            n.Map: self._map,
            n.Let: self._let,
            n.Jump: self._jump,
            n.Identifier: self._identifier,
            n.TypeName: self._type_name,
            n.Cast: self._cast,
            n.OffsetOf: self._offset_of,
        }

    def copy(self, node: Any) -> Any:
        """A fresh copy of a node of the macro."""
        special = self.special.get(type(node))
        if special is not None:
            return special(node)
        return _rebuild(node, self.copy, self.parent)

    def _variable(self, node: n.Variable) -> n.Variable:
        return n.Variable(node.span.within(self.parent), self.variables.get(node.name) or node.name + self.suffix)

    def _map(self, node: n.Map) -> n.Map:
        span = node.span.within(self.parent)
        name = self.maps.get(node.name)
        if name is None:
            message = f"Unhygienic access to map: {node.name}. Maps must be passed into the macro as arguments."
            self.diagnostics.error(span, message)
            name = node.name
        return n.Map(span, name)

    def _let(self, node: n.Let) -> n.Let:
        if node.variable.name in self.variables:
            where = Span(node.span.source, node.span.start, node.variable.span.end).within(self.parent)
            self.diagnostics.error(where, f"Variable declaration shadows macro arg {node.variable.name}")
        copied: n.Let = _rebuild(node, self.copy, self.parent)
        return copied

    def _jump(self, node: n.Jump) -> n.Jump:
        if node.kind == "return":
            self.diagnostics.error(node.span.within(self.parent), "'return' statement is not allowed in a macro")
        copied: n.Jump = _rebuild(node, self.copy, self.parent)
        return copied

    def _identifier(self, node: n.Identifier) -> Any:
        argument = self.expressions.get(node.name)
        span = node.span.within(self.parent)
        if argument is None:
            return n.Identifier(span, node.name)
        copied = _copy_plain(argument, span)
        # A variable or map given for an expression is its value: the macro cannot change it.
        return n.BlockExpr(copied.span, (), copied) if isinstance(copied, (n.Variable, n.Map)) else copied

    def _type_name(self, node: n.TypeName) -> Any:
        """A type operand; a bare parameter name stands for the argument, be it a type or an expression."""
        if not node.modifiers and node.name in self.expressions:
            argument = self.expressions[node.name]
            if not isinstance(argument, (n.TypeOf, n.Identifier)):
                return _copy_plain(argument, node.span.within(self.parent))
        return self._type(node)

    def _type(self, node: n.TypeName) -> n.TypeName | n.TypeOf:
        span = node.span.within(self.parent)
        tag, _, tagged = node.name.rpartition(" ")
        argument = self.expressions.get(tagged if tag in _TAGS else node.name)
        if argument is None:
            return n.TypeName(span, node.name, node.modifiers)
        inner = argument.operand if isinstance(argument, n.TypeOf) else argument
        if isinstance(inner, n.Identifier):
            return n.TypeName(span, f"{tag} {inner.name}".strip(), node.modifiers)
        if isinstance(inner, n.TypeName) and (not tag or not (inner.modifiers or " " in inner.name)):
            return n.TypeName(span, f"{tag} {inner.name}".strip(), (*inner.modifiers, *node.modifiers))
        if isinstance(argument, n.TypeOf) and not (tag or node.modifiers):
            copied: n.TypeOf = _copy_plain(argument, span)
            return copied
        self.diagnostics.error(
            argument.span,
            f"Invalid replacement for macro '{self.macro.name}' type parameter '{tagged}' "
            f"which makes up the type '{node.name}'",
        )
        return n.TypeName(span, node.name, node.modifiers)

    def _cast(self, node: n.Cast) -> n.Cast:
        kind = self._type(node.type) if isinstance(node.type, n.TypeName) else self.copy(node.type)
        return n.Cast(node.span.within(self.parent), kind, self.copy(node.operand))

    def _offset_of(self, node: n.OffsetOf) -> n.OffsetOf:
        path = node.path
        argument = self.expressions.get(path[0]) if len(path) == 1 else None
        if isinstance(argument, (n.Identifier, n.FieldAccess)):
            names: list[str] = []
            step: Any = argument
            while isinstance(step, n.FieldAccess):
                names.append(step.field)
                step = step.operand
            if isinstance(step, n.Identifier):
                path = (step.name, *reversed(names))
            else:
                message = (
                    "FieldAccess expressions must be made up entirely of idents (e.g. a.b.c) "
                    "to replace the second argument in `offsetof`"
                )
                self.diagnostics.error(argument.span, message)
        return n.OffsetOf(node.span.within(self.parent), self.copy(node.operand), path)


def _rebuild(node: n.Node, copy: Any, parent: Span) -> Any:
    """A node of the same class: spans `within` the parent, child nodes through `copy`."""
    values = []
    for name in node.FIELDS:
        value = getattr(node, name)
        if isinstance(value, n.Node):
            value = copy(value)
        elif isinstance(value, Span):
            value = value.within(parent)
        elif isinstance(value, tuple) and value and isinstance(value[0], n.Node):
            value = tuple([copy(item) for item in value])
        values.append(value)
    return type(node)(*values)


def _copy_plain(node: n.Node, parent: Span) -> Any:
    """The caller's own expression, copied without any renaming."""
    return _rebuild(node, lambda child: _copy_plain(child, parent), parent)
