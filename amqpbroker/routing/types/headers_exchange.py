"""The headers exchange: a binding's arguments against a message's headers (FEATURES A12.4).

The argument ``x-match`` says how::

    all          every argument matches a header (the default; true if there are none)
    any          at least one does (false if there are none)
    all-with-x   the same, and arguments whose names begin with ``x-`` count too;
    any-with-x   in the two plain modes those are skipped

An argument matches a header of its name and value; a void argument matches any value.
Values compare as on RabbitMQ 3.x: across the widths and kinds of numbers (1 equals 1.0) and of
strings, but a boolean is no number. Inside arrays and tables the kinds must be equal as well.

So that a message does not try every binding, a binding is filed under a *clue*, one of its
(name, value) pairs: an "all" binding under the one that the fewest others are filed under, an
"any" binding under each. A message looks up its own pairs and tries what it finds.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.binding import Binding, Destination, FieldValue, freeze_field, thaw_value
from amqpbroker.routing.erlang_terms import KIND_NAMES, print_binary, print_value
from amqpbroker.routing.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.routing.message import Routable

X_MATCH: Final = "x-match"
MODES: Final = frozenset((b"all", b"any", b"all-with-x", b"any-with-x"))


class _Token(Enum):
    """Values that equal nothing but themselves."""

    PRESENT = "what a void argument asks for"
    TRUE = "true, which Python would take for 1"
    FALSE = "false, which Python would take for 0"


Pair: TypeAlias = tuple[str, object]
"""A name and a comparable value."""


def _comparable(frozen: FieldValue) -> object:
    """Return an object that is equal for all fields of the same value."""
    kind, value = frozen
    if kind == "t":
        return _Token.TRUE if value else _Token.FALSE
    return value


class _Rule(NamedTuple):
    """What one binding asks for."""

    destination: Destination
    is_all: bool
    pairs: tuple[Pair, ...]
    """In the order of their names, so that the choice of a clue does not depend on a hash."""
    pairs_set: frozenset[Pair]


def _read_rule(binding: Binding) -> _Rule:
    """Return what a binding asks for; a mode that is not known counts as "all"."""
    mode = (binding.argument(X_MATCH) or ("S", b"all"))[1]
    with_x = mode in (b"all-with-x", b"any-with-x")
    pairs = tuple(
        (name, _Token.PRESENT if field[0] == "V" else _comparable(field))
        for name, field in binding.arguments
        if name != X_MATCH and (with_x or not name.startswith("x-"))
    )
    return _Rule(binding.destination, mode not in (b"any", b"any-with-x"), pairs, frozenset(pairs))


class HeadersExchange(Exchange):
    """Leads a message to the destinations whose arguments match its headers."""

    __slots__ = ("_by_clue", "_clues", "_unconditional")

    type_name = "headers"

    def __init__(self, name: str, **options: Any) -> None:
        """Take the options of :class:`Exchange`."""
        super().__init__(name, **options)
        self._by_clue: dict[Pair, dict[Binding, _Rule]] = {}
        self._clues: dict[Binding, tuple[Pair, ...]] = {}
        """The clues that each binding is filed under."""
        self._unconditional: dict[Binding, Destination] = {}
        """The "all" bindings that ask for nothing."""

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 if x-match is not one of the four modes."""
        kind, value = binding.argument(X_MATCH) or ("S", b"all")
        if kind != "S":
            term = print_value(kind, thaw_value(kind, value))
            raise precondition_failed(
                f"Invalid x-match field type {KIND_NAMES[kind]} (value {term}); expected longstr"
            )
        if value not in MODES:
            raise precondition_failed(
                f"Invalid x-match field value {print_binary(value)}; "
                "expected all, any, all-with-x, or any-with-x"
            )

    def _added(self, binding: Binding) -> None:
        rule = _read_rule(binding)
        if not rule.is_all:
            clues = rule.pairs
        elif rule.pairs:
            clues = (min(rule.pairs, key=lambda pair: len(self._by_clue.get(pair, ()))),)
        else:
            clues = ()
            self._unconditional[binding] = rule.destination
        self._clues[binding] = clues
        for clue in clues:
            self._by_clue.setdefault(clue, {})[binding] = rule

    def _removed(self, binding: Binding) -> None:
        self._unconditional.pop(binding, None)
        for clue in self._clues.pop(binding):
            rules = self._by_clue[clue]
            del rules[binding]
            if not rules:
                del self._by_clue[clue]

    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return the destinations whose arguments match; the routing key does not count."""
        found = list(self._unconditional.values())
        pairs: dict[Pair, None] = {}
        for name, field in message.headers.items():
            pairs[name, _comparable(freeze_field(field))] = pairs[name, _Token.PRESENT] = None
        for pair in pairs:
            rules = self._by_clue.get(pair)
            if rules is not None:
                found += [
                    rule.destination
                    for rule in rules.values()
                    if not rule.is_all or pairs.keys() >= rule.pairs_set
                ]
        return found
