"""The window of keys that a queue or an exchange has seen: what keeps duplicates out (FEATURES N6).

A message has a key if its publisher gave it one (the header ``x-deduplication-header``) or, where
that is asked for, its body is one. The window remembers a key for ``x-cache-ttl`` milliseconds,
and at most ``x-cache-size`` keys, the oldest of which goes first. It does not matter what becomes
of the message meanwhile.

A key is as safe as its message. To the log a window is one more durable queue, as what is delayed
is (docs/adr/0005): its messages are keys of 16 bytes, staged in the same batch as the message, so
that neither survives without the other. They are settled when the key is forgotten.

Keys are remembered after the message was taken in. One that was refused or reached no queue may
come again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final

from amqpbroker.broker.arguments import EXPIRY_MS_MAX, number_of
from amqpbroker.broker.message import Message
from amqpbroker.broker.runs import Run
from amqpbroker.routing.deduplication import BY_CONTENT, CACHE_SIZE, CACHE_TTL, HEADER
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import encode_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from amqpbroker.broker.journal import Journal
    from amqpbroker.broker.timers import Timer
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.storage.catalog import Ticket
    from amqpbroker.wire.table import Table

SIZE_MAX: Final = 100_000
"""Keys, where the arguments say nothing; each takes some 600 bytes of memory."""
TTL_MS: Final = 300_000
"""Where the arguments limit neither time nor number: five minutes, as with SQS."""
FORGOTTEN_COUNT_MAX: Final = 4096
"""Keys after which a timer lets clients have their turn."""
KEY_SIZE: Final = 16
_EXPIRY_SIZE: Final = 8
_KEYS: Final = Publication.of("", "", {}, KEY_SIZE + _EXPIRY_SIZE)
"""Of all records of keys; the body is a key and when it is forgotten (ms since 1970, 0: never)."""
_INTEGERS: Final = frozenset("bBsuIil")


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """What arguments of a queue or an exchange say about its window."""

    header: str = HEADER
    """Which header holds the key."""
    size_max: int = SIZE_MAX
    ttl_ms: int | None = TTL_MS
    is_by_content: bool = False
    """Whether the body is the key of messages without one."""

    @classmethod
    def of(cls, arguments: Mapping[str, tuple[str, Any]]) -> WindowSettings:
        """Return the settings that (checked) arguments ask for."""
        size = number_of(arguments.get(CACHE_SIZE))
        ttl_ms = number_of(arguments.get(CACHE_TTL))
        if size is None and ttl_ms is None:
            ttl_ms = TTL_MS
        return cls(
            arguments.get(HEADER, ("S", HEADER.encode()))[1].decode("utf-8", "surrogateescape"),
            SIZE_MAX if size is None else size,
            None if ttl_ms is None else min(ttl_ms, EXPIRY_MS_MAX),
            bool(arguments.get(BY_CONTENT, ("t", False))[1]),
        )


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=KEY_SIZE).digest()


def _body(message: Message) -> bytes:
    assert message.body is not None, "keys stay in memory"
    return message.body


class Window:
    """The keys of a queue or an exchange; ``name`` is what the catalog calls it."""

    keeps_bodies: ClassVar[bool] = True

    def __init__(self, vhost: VHost, name: str, settings: WindowSettings) -> None:
        self._vhost = vhost
        self.name = name
        self._settings = settings
        self.id = 0
        """Names this in the log; 0 before the first key that is kept."""
        self.definition: Ticket | None = None
        self.journal: Journal | None = None
        self.is_auto_delete = False
        self.arguments: Table = {}
        self._keys: OrderedDict[bytes, Message] = OrderedDict()
        """The oldest first."""
        self._timer: Timer | None = None
        self._is_discarded = False

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ready(self) -> Iterable[Message]:
        """What the log knows of the keys."""
        return self._keys.values()

    # keys

    def key_of(self, publication: Publication, body: bytes) -> bytes | None:
        """Return the key of a message, None if it has none."""
        kind, value = publication.headers.get(self._settings.header, ("V", None))
        if kind == "V":
            return _digest(b"body" + body) if self._settings.is_by_content else None
        if kind in _INTEGERS:
            return _digest(b"integer%d" % value)
        if kind == "S":
            return _digest(b"text" + value)
        return _digest(b"field" + encode_table({"": (kind, value)}))

    def expects_key(self, publication: Publication) -> bool:
        """Return whether messages of a publication may have a key."""
        return self._settings.is_by_content or self._settings.header in publication.headers

    def ticket_of(self, key: bytes) -> int | None:
        """Return which commit makes the message that has this key safe, 0 if it is already.

        None if the key is not in the window.
        """
        message = self._keys.get(key)
        if self._is_discarded or message is None or self._is_past(message):
            return None
        run = message.run
        if not isinstance(run, Run) or run.segment is not None or self.journal is None:
            return 0
        return self.journal.ticket

    def remember(self, key: bytes, publication: Publication, journal: Journal | None) -> None:
        """Add the key of a message that was taken in; ``journal`` is None if nothing is kept."""
        if self._is_discarded:
            return
        message = self._message(key, self._expiry_ms(publication), journal)
        old = self._keys.pop(key, None)
        self._keys[key] = message
        forgotten = [] if old is None else [old]
        while len(self._keys) > self._settings.size_max:
            forgotten.append(self._keys.popitem(last=False)[1])
        self._settle(forgotten)
        self._set_timer()

    def _message(self, key: bytes, expiry_ms: int, journal: Journal | None) -> Message:
        body = key + expiry_ms.to_bytes(_EXPIRY_SIZE, "big")
        if journal is None:
            return Message(_KEYS, body)
        self.journal = journal
        if not self.id:
            assert self._vhost.store is not None
            self._vhost.store.put_queue(self._vhost.name, self)
        (message,) = journal.enqueue(_KEYS, (body,), (self,))
        assert isinstance(message.run, Run)
        message.run.keep()
        return message

    def _expiry_ms(self, publication: Publication) -> int:
        """Return when a key is forgotten; the header x-cache-ttl counts more than the argument."""
        ttl_ms = number_of(publication.headers.get(CACHE_TTL))
        if ttl_ms is None or not 0 < ttl_ms <= EXPIRY_MS_MAX:
            ttl_ms = self._settings.ttl_ms
        return 0 if ttl_ms is None else self._vhost.timers.wall_ms() + ttl_ms

    def recover(self, messages: Sequence[Message]) -> None:
        """Fill with what was here before a restart."""
        for message in messages:
            message.publication = _KEYS
            self._keys[_body(message)[:KEY_SIZE]] = message
        self._set_timer()

    # forgetting

    def _is_past(self, message: Message) -> bool:
        expiry_ms = int.from_bytes(_body(message)[KEY_SIZE:], "big")
        return 0 < expiry_ms <= self._vhost.timers.wall_ms()

    def _set_timer(self) -> None:
        """Wait for the oldest key; one that never expires leaves when it is pushed out."""
        if not self._keys:
            return
        oldest = next(iter(self._keys.values()))
        expiry_ms = int.from_bytes(_body(oldest)[KEY_SIZE:], "big")
        if not expiry_ms:
            return
        timers = self._vhost.timers
        deadline = timers.now() + max(0, expiry_ms - timers.wall_ms()) / 1000
        if self._timer is not None:
            if self._timer.deadline <= deadline:
                return
            self._timer.cancel()
        self._timer = timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        forgotten: list[Message] = []
        keys = self._keys
        while keys and len(forgotten) < FORGOTTEN_COUNT_MAX:
            key, message = next(iter(keys.items()))
            if not self._is_past(message):
                break
            del keys[key]
            forgotten.append(message)
        self._settle(forgotten)
        self._set_timer()

    def _settle(self, messages: Sequence[Message]) -> None:
        if self.journal is not None and messages:
            self.journal.settle(self, messages)

    def discard(self) -> None:
        """Forget everything: the queue or exchange is deleted."""
        self._is_discarded = True
        if self.id and self._vhost.store is not None:
            self._vhost.store.delete_queue(self)
        if self.journal is not None:
            self.journal.abandon(self, self._keys.values())
        self._keys.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
