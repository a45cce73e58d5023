"""Hypothesis strategies for what travels on the wire: names, tables, properties, methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import METHODS, Method
from amqpbroker.wire.properties import PROPERTIES
from amqpbroker.wire.table import Field, Table

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NAME_SIZE_MAX: Final = 255


def integers(bits: int, *, signed: bool = False) -> SearchStrategy[int]:
    """Integers of a fixed width."""
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


def as_name(data: bytes) -> str:
    """Return bytes as the broker's strings hold them."""
    return data.decode("utf-8", "surrogateescape")


def utf8_names(size_max: int = 24) -> SearchStrategy[str]:
    """Text that any client can decode, at most 255 bytes of it."""
    return st.text(st.characters(codec="utf-8"), max_size=size_max)


def names() -> SearchStrategy[str]:
    """Short strings of all sorts: text, arbitrary bytes, and as long as they can be."""
    longest = st.binary(min_size=NAME_SIZE_MAX, max_size=NAME_SIZE_MAX)
    return utf8_names() | st.builds(as_name, st.binary(max_size=24) | longest)


SCALARS: Final[dict[str, SearchStrategy[Any]]] = {
    "t": st.booleans(),
    "b": integers(8, signed=True),
    "B": integers(8),
    "s": integers(16, signed=True),
    "u": integers(16),
    "I": integers(32, signed=True),
    "i": integers(32),
    "l": integers(64, signed=True),
    "f": st.floats(width=32, allow_nan=False),
    "d": st.floats(allow_nan=False),
    "D": st.tuples(integers(8), integers(32)),
    "T": integers(64),
    "S": st.binary(max_size=40),
    "x": st.binary(max_size=40),
    "V": st.none(),
}
"""The kinds that hold no others; ``L`` is never written, ``A`` and ``F`` are in ``fields``."""


def _pair(kind: str, values: SearchStrategy[Any]) -> SearchStrategy[Field]:
    return st.builds(Field, st.just(kind), values)


def _nested(inner: SearchStrategy[Field]) -> SearchStrategy[Field]:
    arrays = st.lists(inner, max_size=3).map(tuple)
    return _pair("A", arrays) | _pair("F", st.dictionaries(names(), inner, max_size=3))


def scalars(kinds: str = "".join(SCALARS)) -> SearchStrategy[Field]:
    """Typed values of these kinds."""
    return st.one_of([_pair(kind, SCALARS[kind]) for kind in kinds])


def fields(kinds: str = "".join(SCALARS)) -> SearchStrategy[Field]:
    """Typed values of these kinds, and arrays and tables of them."""
    return st.recursive(scalars(kinds), _nested, max_leaves=6)


def tables() -> SearchStrategy[Table]:
    """Tables of all kinds and odd names."""
    return st.dictionaries(names(), fields(), max_size=4)


_PROPERTY_VALUES: Final[dict[str, SearchStrategy[Any]]] = {
    "shortstr": names(),
    "octet": integers(8),
    "timestamp": integers(64),
    "table": tables(),
}


def properties() -> SearchStrategy[dict[str, Any]]:
    """Any selection of the 14 properties."""
    return st.fixed_dictionaries(
        {}, optional={name: _PROPERTY_VALUES[wire_type] for name, wire_type in PROPERTIES}
    )


_ARGUMENTS: Final[dict[str, SearchStrategy[Any]]] = {
    "octet": integers(8),
    "short": integers(16),
    "long": integers(32),
    "longlong": integers(64),
    "bit": st.booleans(),
    "shortstr": names(),
    "longstr": st.binary(max_size=40),
    "table": tables(),
}


TAKES_ANY_NAME: Final = {m.BasicPublish, m.BasicReturn, m.BasicDeliver, m.BasicGetOk}
"""Methods whose names need not be UTF-8 (T3)."""


def methods_of(cls: type[Method]) -> SearchStrategy[Method]:
    """Methods of one class."""
    kinds = _ARGUMENTS if cls in TAKES_ANY_NAME else {**_ARGUMENTS, "shortstr": utf8_names()}
    arguments = [kinds[wire_type] for _, wire_type in cls.wire_types]
    return st.tuples(*arguments).map(lambda values: cls(*values))


def methods() -> SearchStrategy[Method]:
    """Any method."""
    return st.sampled_from(list(METHODS.values())).flatmap(methods_of)
