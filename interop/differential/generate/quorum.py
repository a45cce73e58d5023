"""Scenes with quorum queues: counted deliveries, limits, dead letters, the rules of the type.

On RabbitMQ every basic.get is a consumer of its own, and what a lost channel held comes back
consumer by consumer in no order; so what a get holds is settled in the next step, and a queue has
one consumer. Publishes are confirmed, since nothing else tells that they have been taken in. One
message is published at a time where publishes are refused: how many are too much is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interop.differential.generate import topology, traffic, vocabulary
from interop.differential.program import Op

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from interop.differential.codec import Table
    from interop.differential.generate.maker import Maker

QUEUES: Final = ("@qq0", "@qq1", "@qq2")
"""Named apart from classic queues; see ``deviations``."""
GRAVE: Final = "@q3"
BODY_SIZES: Final = (1, 2, 10, 50, 1000)
"""No empty one: RabbitMQ sends what it drops in one go as dead letters in reverse order."""
GET_CHANNEL: Final = 9
"""Of every connection: nothing else is on loan there."""


def arguments(rng: Random, count: int) -> Table:
    """Return legal arguments of a quorum queue that need no waiting, the type among them."""
    choices: list[tuple[str, str, Any]] = [
        ("x-delivery-limit", *vocabulary.integer(rng, rng.choice([0, 1, 1, 2, 3]))),
        ("x-delivery-limit", *vocabulary.integer(rng, rng.choice([1, 2]))),
        ("x-message-ttl", *vocabulary.integer(rng, 600_000)),
        ("x-expires", *vocabulary.integer(rng, 600_000)),
        ("x-max-length", *vocabulary.integer(rng, rng.choice([0, 1, 2, 3]))),
        ("x-max-length-bytes", *vocabulary.integer(rng, rng.choice([0, 100_000]))),
        ("x-overflow", "S", rng.choice(["drop-head", "reject-publish", "reject-publish-dlx"])),
        ("x-single-active-consumer", "t", True),
        ("x-quorum-initial-group-size", *vocabulary.integer(rng, 1)),
        ("x-max-in-memory-length", *vocabulary.integer(rng, 1)),
        ("x-queue-leader-locator", "S", "client-local"),
        ("x-unknown", *vocabulary.value(rng)),
    ]
    picked = {name: (name, kind, value) for name, kind, value in rng.sample(choices, count)}
    table = [("x-queue-type", "S", "quorum"), *picked.values()]
    if rng.random() < 0.6:
        table.append(("x-dead-letter-exchange", "S", ""))
        table.append(("x-dead-letter-routing-key", "S", GRAVE))
    rng.shuffle(table)
    return table


def _declare(make: Maker, name: str, **fields: Any) -> None:
    make.add(topology.queue_declare(make, name, **fields), at=(0, 1))
    if name in QUEUES:
        make.declared.setdefault(name, make.steps[-1].ops[0].args)


def lay_out(make: Maker) -> None:
    """Declare one or two quorum queues and a queue for dead letters."""
    rng = make.rng
    for name in QUEUES[: rng.randint(1, 2)]:
        table = arguments(rng, rng.choice([0, 1, 2, 3]))
        _declare(make, name, durable=True, arguments=table)
    _declare(make, GRAVE)


def declare(make: Maker) -> None:
    """Declare a quorum queue: a new one, in a wrong way, or again with something changed."""
    rng = make.rng
    if make.chance(0.4):
        topology.same_queue(make)
        return
    table = arguments(rng, rng.choice([0, 1, 2]))
    flags = {"durable": True}
    if make.chance(0.5):
        flags = {flag: make.chance(0.5) for flag in ("durable", "exclusive", "auto_delete")}
    elif make.chance(0.5):
        table.append(vocabulary.bad_queue_argument(rng))
    name = rng.choice([*QUEUES, *QUEUES, "@new", ""])
    _declare(make, name, **flags, arguments=table)


def publish(make: Maker) -> None:
    """Publish one message to a queue, on a channel that confirms."""
    properties = vocabulary.properties(make.rng, share=0.1)
    if make.chance(0.1):
        properties = [("headers", [("x-delivery-count", *vocabulary.value(make.rng))])]
    size = make.rng.choice(BODY_SIZES)
    message = make.message("", make.rng.choice(QUEUES[:2]), properties=properties, size=size)
    make.add(Op("confirm.select"), message)


def get(make: Maker) -> None:
    """Get a message and settle it at once."""
    rng = make.rng
    queue = rng.choice([*QUEUES[:2], *QUEUES[:2], GRAVE])
    at = (rng.randrange(make.connection_count), GET_CHANNEL)
    if make.chance(0.2):
        make.add(Op("basic.get", {"queue": queue, "no_ack": True}), at=at)
        return
    method = rng.choice(["basic.ack", "basic.nack", "basic.nack", "basic.reject"])
    args = {"method": method, "requeue": make.chance(0.7), "pick": 0}
    make.add(Op("basic.get", {"queue": queue}), at=at)
    make.add(Op("settle", args), at=at)


def consume(make: Maker) -> None:
    """Start a consumer on a queue that has none, on a channel that has none."""
    rng = make.rng
    free = [name for name in QUEUES[:2] if name in make.declared and not make.consumers.get(name)]
    at = make.place()
    if not free or make.consumed.get(at):
        return
    queue = rng.choice(free)
    make.tag_count += 1
    tag = f"t{make.tag_count}"
    args: dict[str, Any] = {"queue": queue, "no_ack": make.chance(0.15), "consumer_tag": tag}
    args["exclusive"] = make.chance(0.1)
    if make.chance(0.1):
        args["arguments"] = [
            rng.choice([("x-priority", "I", 1), ("x-cancel-on-ha-failover", "t", True)])
        ]
    make.consumed.setdefault(at, set()).add(queue)
    make.consumers.setdefault(queue, []).append((*at, tag))
    if not args["no_ack"]:
        make.holders.append(at)
    count = 0 if _has_delivery_limit(make, queue) else rng.choice([0, 1, 1, 2, 3])
    qos = {"prefetch_count": count, "global": count > 0 and make.chance(0.1)}
    make.add(Op("basic.qos", qos), at=at)
    make.add(Op("basic.consume", args), at=at)


def _has_delivery_limit(make: Maker, queue: str) -> bool:
    """With one a consumer may not have a prefetch: RabbitMQ 3.10 makes room twice for the dead."""
    return any(each[0] == "x-delivery-limit" for each in make.declared[queue]["arguments"])


def settle(make: Maker) -> None:
    """Settle one delivery, or several with one method."""
    method = make.rng.choice(["basic.ack", "basic.nack", "basic.nack", "basic.reject"])
    args: dict[str, Any] = {"method": method, "requeue": make.chance(0.75)}
    args["pick"] = make.rng.randrange(4)
    if method != "basic.reject":
        args["multiple"] = make.chance(0.25)
    make.add(Op("settle", args), at=make.holder())


def delete(make: Maker) -> None:
    """Purge or delete a queue, at times with a condition that quorum queues do not have."""
    if make.chance(0.3):
        make.add(Op("queue.purge", {"queue": make.rng.choice(QUEUES[:2])}))
        return
    topology.delete_queue(make)


STEPS: Final[dict[Callable[[Maker], None], int]] = {
    declare: 5,
    publish: 22,
    get: 12,
    consume: 7,
    settle: 24,
    delete: 2,
    traffic.recover: 3,
    traffic.cancel: 2,
    traffic.close_channel: 2,
}
"""Step makers and how likely each is."""
