"""Scenes that need a layout of their own: dead letters, expiry, owners of queues, hashing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interop.differential.generate import topology, traffic, vocabulary
from interop.differential.program import Op

if TYPE_CHECKING:
    from interop.differential.generate.maker import Maker

TTL_MAX_MS: Final = 10
EXPIRES_MS: Final = 20
REST_MS: Final = 45
"""Longer than any time to live used, with a margin for a busy machine."""


def dead_letter_layout(make: Maker) -> None:
    """Declare queues that dead-letter to one another, in a chain or a cycle."""
    rng = make.rng
    make.add(topology.exchange_declare(make, "@x0", rng.choice(["fanout", "direct", "topic"])))
    make.add(topology.exchange_declare(make, "@x1", "direct"))
    chain = [("@q0", "@q1"), ("@q1", "@q2"), ("@q2", rng.choice(["@q0", "@q3"]))]
    for name, heir in chain[: rng.randint(1, 3)]:
        arguments = _dead_letter_arguments(make, name, heir)
        make.add(topology.queue_declare(make, name, durable=True, arguments=arguments), at=(0, 1))
    for name in ("@q1", "@q2", "@q3"):
        if name not in make.declared:
            make.add(topology.queue_declare(make, name), at=(0, 1))
    make.add(_bind("@q0", "@x0", "a"), at=(0, 1))
    make.add(_bind("@q1", "@x1", "@q1"), _bind("@q2", "@x1", "a"), at=(0, 1))


def _dead_letter_arguments(make: Maker, name: str, heir: str) -> list[tuple[str, str, Any]]:
    rng = make.rng
    by_key = make.chance(0.6)
    exchange = "" if by_key else "@x1"
    arguments: list[tuple[str, str, Any]] = [("x-dead-letter-exchange", "S", exchange)]
    if by_key:
        arguments.append(("x-dead-letter-routing-key", "S", heir))
    if name == "@q0" and make.chance(0.6):
        arguments.append(("x-max-length", "I", rng.choice([0, 1, 2])))
        if make.chance(0.7):
            modes = ["drop-head", "reject-publish", "reject-publish-dlx"]
            arguments.append(("x-overflow", "S", rng.choice(modes)))
    if make.chance(0.2):
        arguments.append(("x-max-priority", "I", 5))
    rng.shuffle(arguments)
    return arguments


def _bind(queue: str, exchange: str, key: str) -> Op:
    return Op("queue.bind", {"queue": queue, "exchange": exchange, "routing_key": key})


def publish_first(make: Maker) -> None:
    """Publish to the head of the chain, with copies and headers to be carried along.

    One burst goes to one queue, and no copies go to others of the chain: in which order a
    queue gets a message and the dead letter of another queue is free.
    """
    rng = make.rng
    ops = []
    exchange, key = rng.choice([("", "@q0"), ("", "@q0"), ("@x0", "a"), ("", "@q1")])
    for _ in range(rng.choice([1, 1, 2, 4])):
        properties = vocabulary.properties(rng, share=0.15)
        if make.chance(0.3):
            headers = vocabulary.copies(rng, ("@missing",))
            properties = [("headers", headers), ("delivery_mode", 2)]
        elif make.chance(0.1):
            properties = [("headers", [_forged_death(make)])]
        is_mandatory = make.chance(0.2)
        op = make.message(exchange, key, properties=properties, is_mandatory=is_mandatory)
        ops.append(op)
    make.add(*ops)


def _forged_death(make: Maker) -> tuple[str, str, Any]:
    entry: list[tuple[str, str, Any]] = [
        ("count", "l", 7),
        ("reason", "S", make.rng.choice(["rejected", "expired"])),
        ("queue", "S", make.rng.choice(["@q0", "@q9"])),
        ("time", "T", vocabulary.LONG_AGO_S),
        ("exchange", "S", ""),
        ("routing-keys", "A", [["S", "a"]]),
    ]
    odd: list[tuple[str, Any]] = [("A", [["F", entry]]), ("A", []), ("S", "a"), ("I", 1)]
    return ("x-death", *make.rng.choice([odd[0], odd[0], *odd]))


def reject(make: Maker) -> None:
    """Get and reject: the shortest way to a dead letter."""
    queue = make.rng.choice(["@q0", "@q0", "@q1", "@q2"])
    at = make.place()
    make.holders.append(at)
    make.add(Op("basic.get", {"queue": queue}), at=at)
    args = {"method": "basic.reject", "requeue": make.chance(0.15), "pick": 0}
    make.add(Op("settle", args), at=at)


def expiry_layout(make: Maker) -> None:
    """Declare queues whose messages, or themselves, live for milliseconds.

    In most programs every message is mortal: RabbitMQ drops the dead only at a queue's head, and
    a broker that drops them anywhere differs as soon as one that lives on stands before them.
    """
    rng = make.rng
    make.is_all_mortal = make.chance(0.7)
    for name in vocabulary.QUEUES[:2]:
        arguments: list[tuple[str, str, Any]] = []
        if make.chance(0.6):
            arguments.append(("x-message-ttl", "I", rng.choice([0, 1, TTL_MAX_MS])))
        if make.chance(0.2):
            arguments.append(("x-expires", "I", EXPIRES_MS))
        if make.chance(0.6):
            arguments += [("x-dead-letter-exchange", "S", "")]
            heir = {"@q0": "@q2", "@q1": rng.choice(["@q0", "@q3", "@q1"])}[name]
            arguments += [("x-dead-letter-routing-key", "S", heir)]
        if make.chance(0.15):
            arguments.append(("x-max-priority", "I", 3))
        make.add(topology.queue_declare(make, name, durable=True, arguments=arguments), at=(0, 1))
    make.add(topology.queue_declare(make, "@q2"), topology.queue_declare(make, "@q3"), at=(0, 1))


def publish_mortal(make: Maker) -> None:
    """Publish messages that expire at once, soon or never, to one queue."""
    rng = make.rng
    ops = []
    key = rng.choice(["@q0", "@q0", "@q1"])
    for _ in range(rng.choice([1, 1, 2, 3])):
        properties: list[tuple[str, Any]] = []
        if make.is_all_mortal or make.chance(0.7):
            lives = ["0", "1", str(TTL_MAX_MS), *([] if make.is_all_mortal else ["600000"])]
            properties.append(("expiration", rng.choice(lives)))
        if make.chance(0.3):
            properties.append(("priority", rng.randrange(4)))
        is_mandatory = make.chance(0.2)
        ops.append(make.message("", key, properties=properties, is_mandatory=is_mandatory))
    make.add(*ops)


def own_queue(make: Maker) -> None:
    """Declare a queue that lives no longer than its connection or its consumers."""
    name = make.rng.choice([*vocabulary.QUEUES, ""])
    fields = {"exclusive": make.chance(0.5), "auto_delete": make.chance(0.6)}
    fields["durable"] = make.chance(0.3)
    make.add(topology.queue_declare(make, name, **fields))


def own_exchange(make: Maker) -> None:
    """Declare an auto-delete exchange and bind it at once."""
    name = make.rng.choice(vocabulary.EXCHANGES)
    declare = topology.exchange_declare(make, name, "fanout", auto_delete=True)
    bind = _bind(make.queue(), name, "")
    if make.chance(0.4):
        source = make.exchange()
        source = source if source.startswith("@") else "@x0"
        bind = Op("exchange.bind", {"destination": name, "source": source, "routing_key": "a"})
    make.add(declare, bind)


def reconnect(make: Maker) -> None:
    """Connect anew without wishing to hear of cancelled consumers, or with small frames."""
    options: list[dict[str, Any]] = [{"wants_cancel_notify": False}, {"frame_size_max": 4096}, {}]
    connection = make.rng.randrange(make.connection_count)
    for each in range(1, make.channel_count + 1):
        traffic.forget(make, (connection, each))
    make.add(Op("connect", make.rng.choice(options)), at=(connection, 0))


def hash_layout(make: Maker) -> None:
    """Declare a hashing exchange with two or three queues."""
    rng = make.rng
    arguments = rng.choice(
        [
            [],
            [],
            [("hash-header", "S", "h0")],
            [("hash-property", "S", rng.choice(["message_id", "correlation_id", "timestamp"]))],
        ]
    )
    declare = topology.exchange_declare(make, "@x0", "x-consistent-hash", arguments=arguments)
    make.add(declare, at=(0, 1))
    for name in vocabulary.QUEUES[:3]:
        make.add(topology.queue_declare(make, name), at=(0, 1))
        make.add(_bind(name, "@x0", rng.choice(["1", "2", "10"])), at=(0, 1))


def publish_hashed(make: Maker) -> None:
    """Publish a burst with varied keys, headers and properties to the hashing exchange."""
    rng = make.rng
    ops = []
    for _ in range(rng.randint(1, 8)):
        number = str(rng.randrange(100))
        properties: list[tuple[str, Any]] = []
        if make.chance(0.7):
            properties.append(("headers", [("h0", *rng.choice([("S", number), ("I", 5)]))]))
            properties += [("correlation_id", number), ("message_id", number)]
            properties.append(("timestamp", vocabulary.LONG_AGO_S + int(number)))
        is_mandatory = make.chance(0.5)
        ops.append(make.message("@x0", number, properties=properties, is_mandatory=is_mandatory))
    make.add(*ops)


def empty_hashed(make: Maker) -> None:
    """Purge all queues of the hashing exchange."""
    make.add(*(Op("queue.purge", {"queue": name}) for name in vocabulary.QUEUES[:3]))


def rebind_hashed(make: Maker) -> None:
    """Add or remove a binding of the hashing exchange, at times with a bad weight."""
    name = make.rng.choice(vocabulary.QUEUES[:3])
    key = make.rng.choice(["1", "2", "10", "1", "0", "x"])
    op = _bind(name, "@x0", key)
    make.add(op if make.chance(0.6) else Op("queue.unbind", op.args))
