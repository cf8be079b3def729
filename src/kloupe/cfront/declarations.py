"""C declarations: structs, unions, enums and typedefs to types. Functions and variables are read over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import Diagnostics
from ..base.record import field, record
from .constant import ConstantError, Evaluator
from .cursor import Cursor, Stop
from .known import CPart, Known
from .layout import Member, place_members
from .preprocess import Preprocessor, ReadInclude
from .tokens import Token
from .typewords import NAMED, TYPE_WORDS, from_words

_MAX_DEPTH = 50
_QUALIFIERS = "const volatile restrict __restrict __restrict__ __const __volatile__ _Atomic __extension__"
_SPARSE = "__user __kernel __rcu __percpu __iomem __force"
_STORAGE = "inline __inline __inline__ __always_inline static extern register auto _Noreturn"
_IGNORED = frozenset(f"{_QUALIFIERS} {_SPARSE} {_STORAGE}".split())
_TAGGED = ("struct", "union", "enum")


class DeclaredStruct(ct.Struct):
    """A struct that may be named (behind a pointer) before its members are known."""

    __slots__ = ()

    def complete(
        self, size: int, align: int, fields: tuple[ct.Field, ...] | Callable[[], tuple[ct.Field, ...]]
    ) -> None:
        """Give it its members; bytes."""
        self._size, self._align, self._fields = size, align, fields


@record
class CDeclarations:
    """What C text declares. `defines` are the object-like macros of the text and their values as text."""

    structs: dict[tuple[str, str], ct.Struct] = field(default_factory=dict)
    enums: dict[str, ct.Enum] = field(default_factory=dict)
    all_enums: list[ct.Enum] = field(default_factory=list)
    typedefs: dict[str, CType] = field(default_factory=dict)
    defines: dict[str, str] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)


def parse_c(
    part: CPart | Sequence[CPart],
    known: Known,
    diagnostics: Diagnostics,
    *,
    predefined: Mapping[str, str] | None = None,
    read_include: ReadInclude | None = None,
    machine: str = "x86_64",
) -> CDeclarations:
    """The declarations of a C part, or of several as if they were one text. Mistakes go to `diagnostics` with their place; what was understood is returned.

    Names that the text does not declare are looked up in `known`. `__<machine>__`, `__LP64__` and, when `known` has BTF,
    `BPFTRACE_HAVE_BTF` are defined (bpftrace's own switch for scripts that bring headers).
    """
    given = {f"__{machine}__": "1", "__LP64__": "1", "__linux__": "1", **(predefined or {})}
    if known.has_btf:
        given["BPFTRACE_HAVE_BTF"] = "1"
    preprocessor = Preprocessor(diagnostics, given, read_include)
    for piece in part if isinstance(part, Sequence) else (part,):
        preprocessor.run(piece.span.source, piece.span.start, piece.span.end)
    parser = _Parser(preprocessor.tokens, known, diagnostics, machine)
    parser.run()
    found = parser.found
    found.includes = preprocessor.includes
    found.defines = {
        name: preprocessor.value_text(define)
        for name, define in preprocessor.defines.items()
        if define.parameters is None and define.body and define.body[0].source.name != "<predefined>"
    }
    return found


class _Parser(Cursor):
    def __init__(self, tokens: list[Token], known: Known, diagnostics: Diagnostics, machine: str) -> None:
        super().__init__(tokens, diagnostics)
        self.known = known
        self.machine = machine
        self.depth = 0
        self.found = CDeclarations()
        self.constants: dict[str, int] = {}
        self.started: dict[tuple[str, str], DeclaredStruct] = {}  # named so far, complete or not

    def run(self) -> None:
        """All declarations; after an error goes on behind the next `;` or block."""
        while self.token.kind != "end":
            begin, self.depth = self.at, 0
            try:
                self._declaration()
            except Stop:
                self.at = max(self.at, begin)
                self.skip_declaration()
            except ConstantError as bad:
                self.diagnostics.error((bad.token or self.token).span, str(bad))
                self.skip_declaration()
        for (kind, name), struct in self.started.items():
            known = None if (kind, name) in self.found.structs else self.known.struct(kind, name)
            if known is not None:
                struct.complete(known.size, 0, lambda known=known: known.fields)  # type: ignore[misc]

    # -- declarations ---------------------------------------------------------------------------------------------

    def _declaration(self) -> None:
        if self.match(";"):
            return
        is_typedef = False
        while self.match("typedef") or self.match("extern"):
            is_typedef = is_typedef or self.tokens[self.at - 1].text == "typedef"
        if self.token.kind == "string":  # extern "C"
            self.at += 1
            self.match("{")
            return
        if self.match("}"):
            return
        tagged = self.token.text in _TAGGED
        base = self._specifiers()
        if tagged and not is_typedef and (self.token.kind == "end" or self.token.text in (*_TAGGED, "typedef")):
            return  # the language lets a definition end without its semicolon
        while self.token.text != ";":
            at = self.token
            name, kind = self._declarator(base)
            self._attributes()
            if is_typedef and name:
                self.found.typedefs[name] = kind
            elif not name:
                raise self.fail("expected identifier", at)
            if self.token.text in ("{", "="):  # a function's body, a variable's value
                self.skip_declaration()
                return
            if not self.match(","):
                break
        if not self.match(";"):
            raise self.fail("expected ';' after declaration")

    def _attributes(self) -> tuple[bool, int]:
        """Skip attributes and qualifiers; gives (packed, aligned)."""
        packed, align = False, 0
        while True:
            text = self.token.text
            if text in _IGNORED:
                self.at += 1
            elif text in ("__attribute__", "__attribute", "_Alignas", "alignas", "__asm__", "asm"):
                self.at += 1
                begin = self.at
                self.skip_balanced()
                inner = self.tokens[begin : self.at]
                packed = packed or any(token.text in ("packed", "__packed__") for token in inner)
                align = max(align, self._alignment(text, inner))
            elif text == "__packed":
                packed = True
                self.at += 1
            else:
                return packed, align

    def _alignment(self, word: str, inner: list[Token]) -> int:
        where = next((i for i, token in enumerate(inner) if token.text in ("aligned", "__aligned__")), None)
        if word in ("_Alignas", "alignas"):
            where = -1
        if where is None:
            return 0
        if where >= 0 and inner[where + 1].text != "(":
            return 16  # plain `aligned`: the machine's largest useful alignment
        value = Evaluator(inner, self._constant, where + 2, self._size_of_tokens(inner)).expression()
        if not (0 < value <= 1 << 20 and value & (value - 1) == 0):
            raise self.fail("requested alignment is not a power of 2", inner[0])
        return value

    # -- specifiers -----------------------------------------------------------------------------------------------

    def _specifiers(self) -> CType:
        """The type before the declarators."""
        words: list[str] = []
        found: CType | None = None
        first = self.token
        while True:
            self._attributes()
            token = self.token
            if token.text in TYPE_WORDS:
                words.append(token.text)
                self.at += 1
            elif token.text in _TAGGED and found is None and not words:
                found = self._enum() if token.text == "enum" else self._struct(token.text)
            elif token.kind == "name" and found is None and not words:
                found = self._named(token)
                self.at += 1
            else:
                break
        if words:
            found = from_words(words)
        if found is None:
            raise self.fail("expected a type", first)
        return found

    def _named(self, token: Token) -> CType:
        found = self.found.typedefs.get(token.text) or self.known.typedef(token.text) or NAMED.get(token.text)
        if found is None:
            raise self.fail(f"unknown type name '{token.text}'", token)
        return found

    def _struct(self, kind: str) -> CType:
        self.at += 1
        packed, align = self._attributes()
        tag = self.token
        name = ""
        if tag.kind == "name":
            name = tag.text
            self.at += 1
            more = self._attributes()
            packed, align = packed or more[0], max(align, more[1])
        if self.token.text != "{":
            if not name:
                raise self.fail("expected '{'")
            return self.started.setdefault((kind, name), DeclaredStruct(kind, name, 0))
        if (kind, name) in self.found.structs:
            raise self.fail(f"redefinition of '{name}'", tag)
        struct = self.started.get((kind, name)) if name else None
        struct = struct or DeclaredStruct(kind, name, 0)
        if name:
            self.started[(kind, name)] = struct
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.fail(f"nested too deeply (more than {_MAX_DEPTH} levels)")
        members = self._members()
        self.depth -= 1
        more = self._attributes()
        packed, align = packed or more[0], max(align, more[1])
        size, whole, fields = place_members(
            members, union=kind == "union", packed=packed, align=align, machine=self.machine
        )
        struct.complete(size, whole, fields)
        if name:
            self.found.structs[(kind, name)] = struct
        return struct

    def _members(self) -> list[Member]:
        self.expect("{")
        members: list[Member] = []
        while not self.match("}"):
            if self.token.kind == "end":
                raise self.fail("expected '}'")
            if self.match(";"):
                continue
            begin = self.at
            base = self._specifiers()
            written = _written(self.tokens[begin : self.at])
            if self.token.text in (";", "}"):
                if isinstance(base, ct.Struct) and not base.name:
                    members.append(Member("", base))
                self.match(";")
                continue
            while True:
                members.append(self._member(base, written))
                if not self.match(","):
                    break
            if self.token.text != "}":
                self.expect(";")
        return members

    def _member(self, base: CType, written: str) -> Member:
        at, begin = self.token, self.at
        name, kind = ("", base) if self.token.text == ":" else self._declarator(base)
        stars = "".join(token.text for token in self.tokens[begin : self.at] if token.text == "*")
        width = None
        if self.match(":"):
            width = self._constant_here()
            if not ct.is_integer(kind) or not 0 <= width <= 8 * kind.size or (width == 0 and name):
                raise self.fail(f"width of bit-field '{name}' ({width} bits) is not valid", at)
        packed, align = self._attributes()
        kind = self._complete(kind, at)
        return Member(name, kind, f"{written} {stars}".strip(), width, align, packed)

    def _complete(self, kind: CType, at: Token) -> CType:
        """`kind` with the kernel's definition for a struct that the text only names; a member needs its size."""
        inner, counts = kind, []
        while isinstance(inner, ct.Array):
            counts.append(inner.count)
            inner = inner.element
        if isinstance(inner, (ct.Void, ct.Function)):
            raise self.fail("field has incomplete type", at)
        if not isinstance(inner, DeclaredStruct) or not inner.name or (inner.kind, inner.name) in self.found.structs:
            return kind
        known = self.known.struct(inner.kind, inner.name)
        if known is None:
            raise self.fail(f"field has incomplete type '{inner}'", at)
        kind = known
        for count in reversed(counts):
            kind = ct.Array(kind, count)
        return kind

    def _enum(self) -> CType:
        self.at += 1
        self._attributes()
        tag = self.token
        name = tag.text if tag.kind == "name" else ""
        self.at += bool(name)
        base: CType | None = None
        if self.match(":"):
            base = self._specifiers()
        if not self.match("{"):
            found = self.found.enums.get(name) or self.known.enum(name)
            return found or ct.Enum(name, 4, False, ())
        values: list[tuple[str, int]] = []
        following = 0
        while not self.match("}"):
            constant = self.token
            if constant.kind != "name":
                raise self.fail("expected identifier")
            self.at += 1
            if self.match("="):
                following = self._constant_here()
            values.append((constant.text, following))
            self.constants[constant.text] = following
            following += 1
            if not self.match(",") and self.token.text != "}":
                raise self.fail("expected '}' or ','")
        self._attributes()
        enum = ct.Enum(name or f"<anon_{len(self.found.all_enums) + 1}>", *_enum_shape(values, base), tuple(values))
        self.found.all_enums.append(enum)
        if name:
            self.found.enums[name] = enum
        return enum

    # -- declarators ----------------------------------------------------------------------------------------------

    def _declarator(self, base: CType) -> tuple[str, CType]:
        """(name or "", type) of `*name[3]`, `(*name)(int)` and the like."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.fail(f"nested too deeply (more than {_MAX_DEPTH} levels)")
        self._attributes()
        stars = 0
        while self.match("*"):
            stars += 1
            if stars > _MAX_DEPTH:
                raise self.fail(f"more than {_MAX_DEPTH} pointers in a type")
            base = ct.Pointer(base)
            self._attributes()
        if self.token.text == "(" and self.tokens[self.at + 1].text in ("*", "(", "__attribute__"):
            inside = self.at + 1
            self.skip_balanced()
            base = self._suffixes(base)
            behind, self.at = self.at, inside
            name, base = self._declarator(base)
            self.expect(")")
            self.at = behind
        else:
            name = ""
            if self.token.kind == "name":
                name = self.token.text
                self.at += 1
            base = self._suffixes(base)
        self.depth -= 1
        return name, base

    def _suffixes(self, base: CType) -> CType:
        counts: list[int] = []
        while self.match("["):
            counts.append(0 if self.token.text == "]" else self._constant_here())
            if len(counts) > _MAX_DEPTH:
                raise self.fail(f"more than {_MAX_DEPTH} dimensions in an array")
            if not 0 <= counts[-1] < 1 << 48:
                raise self.fail("size of array is negative or too large")
            self.expect("]")
        if self.token.text == "(":
            return self._function(base)
        for count in reversed(counts):
            base = ct.Array(base, count)
        return base

    def _function(self, result: CType) -> CType:
        self.expect("(")
        parameters: list[tuple[str, CType]] = []
        variadic = False
        while not self.match(")"):
            if self.token.kind == "end":
                raise self.fail("expected ')'")
            if self.match("..."):
                variadic = True
                continue
            base = self._specifiers()
            parameters.append(self._declarator(base))
            self._attributes()
            if not self.match(",") and self.token.text != ")":
                raise self.fail("expected ')'")
        if len(parameters) == 1 and isinstance(parameters[0][1], ct.Void):
            parameters = []
        return ct.Function(result, tuple(parameters), variadic)

    # -- constants ------------------------------------------------------------------------------------------------

    def _constant(self, name: str) -> int:
        if name not in self.constants:
            raise ConstantError(f"use of undeclared identifier '{name}'")
        return self.constants[name]

    def _constant_here(self) -> int:
        evaluator = Evaluator(self.tokens[:-1], self._constant, self.at, self._size_of_tokens(self.tokens))
        value = evaluator.expression()
        self.at = evaluator.at
        return value

    def _size_of_tokens(self, tokens: list[Token]) -> Callable[[int], tuple[int, int]]:
        def size_of(at: int) -> tuple[int, int]:
            saved_tokens, saved_at = self.tokens, self.at
            self.tokens = tokens if tokens[-1].kind == "end" else [*tokens, saved_tokens[-1]]
            self.at = at
            try:
                self.expect("(")
                kind = self._declarator(self._specifiers())[1]
                kind = self._complete(kind, self.token)
                self.expect(")")
                return kind.size, self.at
            finally:
                self.tokens, self.at = saved_tokens, saved_at

        return size_of


def _written(tokens: list[Token]) -> str:
    """A type as the text writes it, a body left out."""
    words: list[str] = []
    for token in tokens:
        if token.text == "{":
            break
        words.append(token.text)
    return " ".join(words)


def _enum_shape(values: list[tuple[str, int]], base: CType | None) -> tuple[int, bool]:
    """(bytes, signed) of an enum: int-sized unless a value needs more (C 6.7.2.2 as GCC and clang do it)."""
    if base is not None:
        return base.size, bool(getattr(base, "signed", False))
    low, high = min((v for _, v in values), default=0), max((v for _, v in values), default=0)
    signed = low < 0
    wide = high >= 1 << (31 if signed else 32) or low < -(1 << 31)
    return (8 if wide else 4), signed
