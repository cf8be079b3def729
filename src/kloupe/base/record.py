"""`record`: slotted classes with a constructor from their annotations, as `dataclass` makes them, at a small part of its start-up time.

A hundred dataclasses cost 30 ms of every start. Here the constructor is compiled when the first instance is made, and comparing,
hashing and printing are shared methods. That frozen records are not changed is the type checker's promise; at run
time nothing is spent on it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


class _Factory:
    """A field whose default is made anew for every instance."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """A field that starts with `default_factory()`."""
    return _Factory(default_factory)  # type: ignore[return-value]


def _compile_init(cls: type) -> Callable[..., None]:
    defaults: dict[str, Any] = cls.DEFAULTS  # type: ignore[attr-defined]
    scope: dict[str, Any] = {"_missing": _missing}
    parameters, body = [], []
    for name in cls.FIELDS:  # type: ignore[attr-defined]
        default = defaults.get(name, _missing)
        if default is _missing:
            parameters.append(name)
            body.append(f"self.{name} = {name}")
        elif isinstance(default, _Factory):
            scope[f"_make_{name}"] = default.make
            parameters.append(f"{name}=_missing")
            body.append(f"self.{name} = _make_{name}() if {name} is _missing else {name}")
        else:
            scope[f"_default_{name}"] = default
            parameters.append(f"{name}=_default_{name}")
            body.append(f"self.{name} = {name}")
    exec(f"def __init__(self, {', '.join(parameters)}):\n    " + "\n    ".join(body or ["pass"]), scope)
    made: Callable[..., None] = scope["__init__"]
    return made


_missing: Any = object()


def first_init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Stands in until the first instance of a class is made."""
    cls = type(self)
    while "FIELDS" not in cls.__dict__:
        cls = cls.__bases__[0]
    cls.__init__ = _compile_init(cls)
    self.__init__(*args, **kwargs)


def _eq(self: Any, other: Any) -> Any:
    if self is other:
        return True
    if type(self) is not type(other):
        return NotImplemented
    key = self.KEY
    return key is None or key(self) == key(other)


def _hash(self: Any) -> int:
    key = self.KEY
    return hash((type(self), key(self) if key is not None else None))


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.FIELDS)})"


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, frozen: bool = False, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def record(cls: type[T] | None = None, /, *, frozen: bool = False, eq: bool = True) -> Any:
    """Make `cls` a record: its annotations become slots and constructor parameters, in order, behind the base's.

    `eq`: instances compare by their fields (and hash by them when `frozen`); else by identity.
    """
    if cls is None:
        return lambda actual: _make(actual, frozen, eq)
    return _make(cls, frozen, eq)


def _make(cls: type[T], frozen: bool, eq: bool) -> type[T]:
    annotations: dict[str, Any] = vars(cls).get("__annotations__", {})
    own = [name for name, t in annotations.items() if not str(t).startswith("ClassVar")]
    base = cls.__bases__[0]
    fields = (*getattr(base, "FIELDS", ()), *own)
    namespace = {name: value for name, value in cls.__dict__.items() if name not in ("__dict__", "__weakref__")}
    defaults = {**getattr(base, "DEFAULTS", {}), **{name: namespace.pop(name) for name in own if name in namespace}}
    inherited = {name for parent in cls.__mro__[1:] for name in parent.__dict__.get("__slots__", ())}
    namespace["__slots__"] = tuple(name for name in own if name not in inherited)
    namespace["FIELDS"] = namespace["__match_args__"] = fields
    namespace["DEFAULTS"] = defaults
    namespace["KEY"] = staticmethod(attrgetter(*fields)) if fields else None
    namespace["__init__"] = first_init
    namespace.setdefault("__repr__", _repr)
    if eq:
        namespace.setdefault("__eq__", _eq)
        namespace.setdefault("__hash__", _hash if frozen else None)
    made: type[T] = type.__new__(type(cls), cls.__name__, cls.__bases__, namespace)
    return made


def replace(instance: T, **changes: Any) -> T:
    """A copy of a record with some fields changed."""
    values = {name: getattr(instance, name) for name in instance.FIELDS}  # type: ignore[attr-defined]
    return type(instance)(**{**values, **changes})
