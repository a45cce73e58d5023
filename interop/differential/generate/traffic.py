"""Steps that publish, consume, get and settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interop.differential.generate import vocabulary
from interop.differential.program import Op

if TYPE_CHECKING:
    from interop.differential.generate.maker import Maker


def target(make: Maker) -> tuple[str, str]:
    """Return exchange and routing key of a publish; most reach a queue."""
    if make.chance(0.7):
        return "", make.queue()
    exchange = make.exchange()
    if make.types.get(exchange) == "x-consistent-hash":
        return "", make.queue()
    return exchange, make.rng.choice(vocabulary.ROUTING_KEYS)


def publish(make: Maker) -> None:
    """Publish one message or a burst, pipelined."""
    ops = []
    for _ in range(make.rng.choice([1, 1, 1, 2, 3, 6])):
        exchange, key = target(make)
        properties = vocabulary.properties(make.rng, share=make.rng.choice([0.05, 0.3]))
        is_mandatory = make.chance(0.3)
        ops.append(make.message(exchange, key, properties=properties, is_mandatory=is_mandatory))
    make.add(*ops, at=make.moded_place(make.rng.choice(["confirm", "tx"])))


def publish_matching(make: Maker) -> None:
    """Publish with headers that a headers exchange may match."""
    exchange = make.exchange()
    if make.types.get(exchange) == "x-consistent-hash":
        return
    headers = ("headers", vocabulary.match_headers(make.rng))
    key = make.rng.choice(vocabulary.ROUTING_KEYS)
    make.add(make.message(exchange, key, properties=[headers], is_mandatory=make.chance(0.4)))


def publish_copies(make: Maker) -> None:
    """Publish with CC and BCC."""
    exchange, key = target(make)
    headers = ("headers", vocabulary.copies(make.rng))
    make.add(make.message(exchange, key, properties=[headers], is_mandatory=make.chance(0.3)))


def publish_big(make: Maker) -> None:
    """Publish a body of many frames, or of frames cut oddly."""
    exchange, key = target(make)
    op = make.message(exchange, key, size=make.rng.choice(vocabulary.BIG_BODY_SIZES))
    if make.chance(0.5):
        op.args["chunk"] = make.rng.choice([1000, 4000, 50_000])
    make.add(op)


def publish_badly(make: Maker) -> None:
    """Publish what is refused: bad properties, a missing exchange, the immediate flag."""
    exchange, key = target(make)
    if make.chance(0.6):
        make.add(make.message(exchange, key, properties=vocabulary.bad_properties(make.rng)))
    elif make.chance(0.8):
        make.add(make.message("@missing", key, is_mandatory=make.chance(0.5)))
    else:
        op = make.message(exchange, key)
        op.args["immediate"] = True
        make.add(op)


def publish_priorities(make: Maker) -> None:
    """Publish a burst with priorities to one queue."""
    key = make.queue()
    priorities = [make.rng.choice([0, 1, 2, 5, 9, 255]) for _ in range(make.rng.randint(1, 5))]
    ops = [make.message("", key, properties=[("priority", each)]) for each in priorities]
    make.add(*ops, at=make.moded_place("confirm"))


def consume(make: Maker) -> None:
    """Start a consumer, usually on a queue that has none yet."""
    queue = make.queue()
    if make.consumers.get(queue) and make.chance(0.8):
        free = [name for name in make.declared if not make.consumers.get(name)]
        queue = make.rng.choice(free) if free else queue
    at = _consuming_place(make, queue)
    if at in make.global_qos and make.consumed.get(at, {queue}) != {queue}:
        return
    args: dict[str, Any] = {"queue": queue, "no_ack": make.chance(0.35)}
    args.update(exclusive=make.chance(0.1), nowait=make.chance(0.1), no_local=make.chance(0.1))
    args["consumer_tag"] = _tag(make, is_named=bool(make.consumers.get(queue)))
    if make.chance(0.15):
        args["arguments"] = [_consume_argument(make)]
    if not args["no_ack"]:
        make.holders.append(at)
    make.consumed.setdefault(at, set()).add(queue)
    make.consumers.setdefault(queue, []).append((*at, args["consumer_tag"]))
    make.add(Op("basic.consume", args), at=at)


def _consuming_place(make: Maker, queue: str) -> tuple[int, int]:
    """Return a channel; never a second one of a connection that consumes from the queue already.

    When a connection dies RabbitMQ ends its channels in any order, and what one of them requeues
    the other may still get and lose.
    """
    connection, channel = make.place()
    for consuming in make.consumers.get(queue, []):
        if consuming[0] == connection:
            return consuming[0], consuming[1]
    return connection, channel


def _tag(make: Maker, *, is_named: bool = False) -> str:
    """Return a consumer tag; a queue's second consumer gets a name of ours.

    RabbitMQ requeues a channel's deliveries consumer by consumer in the order of their tags.
    """
    if make.chance(0.2) and not is_named:
        return ""
    if make.tag_count and make.chance(0.03):
        return f"t{make.tag_count}"
    make.tag_count += 1
    return f"t{make.tag_count}"


def _consume_argument(make: Maker) -> tuple[str, str, Any]:
    rng = make.rng
    priority = vocabulary.integer(rng, rng.choice([-5, 0, 1, 10]))
    return rng.choice(
        [
            ("x-priority", *priority),
            ("x-priority", *priority),
            ("x-priority", *rng.choice([("S", "1"), ("t", True), ("d", 1.0)])),
            ("x-unknown", *vocabulary.value(rng)),
            ("x-cancel-on-ha-failover", "t", True),
        ]
    )


def cancel(make: Maker) -> None:
    """Cancel a consumer, at times one that is not there."""
    known = [(queue, each) for queue, all_ in make.consumers.items() for each in all_]
    if not known or make.chance(0.1):
        make.add(Op("basic.cancel", {"consumer_tag": "unknown"}))
        return
    queue, consumer = make.rng.choice(known)
    connection, channel, tag = consumer
    make.consumers[queue].remove(consumer)
    args = {"consumer_tag": tag or "$tag0", "nowait": make.chance(0.15)}
    make.add(Op("basic.cancel", args), at=(connection, channel))


def get(make: Maker) -> None:
    """Get one or more messages, at times from the queue declared last."""
    at = make.holder() if make.chance(0.5) else make.place()
    queues = [make.filled_queue() for _ in range(make.rng.choice([1, 1, 2, 4]))]
    if make.chance(0.03):
        queues = [""]
    ops = []
    for queue in queues:
        is_no_ack = make.chance(0.35)
        if not is_no_ack:
            make.holders.append(at)
        ops.append(Op("basic.get", {"queue": queue, "no_ack": is_no_ack}))
    make.add(*ops, at=at)


def settle(make: Maker) -> None:
    """Settle one or a few deliveries in the ways there are.

    Only one at a time under a prefetch for the channel: RabbitMQ's limiter is a process of its
    own, and what it lets a queue send next races with the next settle.
    """
    ops = []
    at = make.holder()
    for _ in range(1 if at in make.global_qos else make.rng.choice([1, 1, 1, 2, 3])):
        method = make.rng.choice(["basic.ack", "basic.ack", "basic.nack", "basic.reject"])
        args: dict[str, Any] = {"method": method, "requeue": make.chance(0.5)}
        args["pick"] = make.rng.randrange(6)
        if method != "basic.reject":
            args["multiple"] = make.chance(0.3)
        ops.append(Op("settle", args))
    make.add(*ops, at=at)


def settle_all(make: Maker) -> None:
    """Settle everything with tag 0."""
    method = make.rng.choice(["basic.ack", "basic.nack"])
    args = {"method": method, "requeue": make.chance(0.6), "multiple": True, "tag": 0}
    make.add(Op("settle", args), at=make.holder())


def settle_badly(make: Maker) -> None:
    """Settle a tag that is unknown, settled already, or 0 without multiple."""
    choice: dict[str, Any] = make.rng.choice([{"beyond": 0}, {"again": True}, {"tag": 0}])
    method = make.rng.choice(["basic.ack", "basic.nack", "basic.reject"])
    args = {"method": method, **choice, "requeue": make.chance(0.5)}
    if method != "basic.reject" and "tag" not in choice:
        args["multiple"] = make.chance(0.5)
    make.add(Op("settle", args), at=make.holder())


def qos(make: Maker) -> None:
    """Set a prefetch, per consumer or for the channel; at times an unsupported one."""
    at = make.place()
    count = make.rng.choice([0, 1, 1, 2, 3, 10])
    is_global = make.chance(0.3) and len(make.consumed.get(at, ())) < 2
    if is_global:
        make.global_qos.add(at)
    size = 100 if make.chance(0.04) else 0
    args = {"prefetch_size": size, "prefetch_count": count, "global": is_global}
    make.add(Op("basic.qos", args), at=at)


def recover(make: Maker) -> None:
    """Requeue what a channel holds."""
    method = make.rng.choice(["basic.recover", "basic.recover", "basic.recover-async"])
    make.add(Op(method, {"requeue": make.chance(0.92)}), at=make.holder())


def confirm_select(make: Maker) -> None:
    """Put a channel into confirm mode."""
    at = make.place()
    make.modes.setdefault(at, "confirm")
    make.add(Op("confirm.select", {"nowait": make.chance(0.2)}), at=at)


def transaction(make: Maker) -> None:
    """Open, commit or roll back a transaction."""
    if make.chance(0.25):
        at = make.place()
        make.modes.setdefault(at, "tx")
        make.add(Op("tx.select"), at=at)
    elif "tx" in make.modes.values() or make.chance(0.2):
        method = make.rng.choice(["tx.commit", "tx.commit", "tx.rollback"])
        make.add(Op(method), at=make.moded_place("tx") if make.chance(0.95) else None)


def flow(make: Maker) -> None:
    """Ask for channel flow, or for none, which RabbitMQ does not have."""
    make.add(Op("channel.flow", {"active": make.chance(0.8)}))


def close_channel(make: Maker) -> None:
    """Close a channel; the next step on it opens it again."""
    at = make.holder()
    forget(make, at)
    make.add(Op("channel.close", {"reply_code": 200, "reply_text": "bye"}), at=at)


def close_connection(make: Maker) -> None:
    """Close a connection, politely or not."""
    connection = make.rng.randrange(make.connection_count)
    for channel in range(1, make.channel_count + 1):
        forget(make, (connection, channel))
    is_polite = make.chance(0.6)
    op = Op("connection.close", {"reply_code": 200}) if is_polite else Op("drop")
    make.add(op, at=(connection, 0))


def forget(make: Maker, at: tuple[int, int]) -> None:
    """Note that a channel is gone with all it had."""
    make.consumed.pop(at, None)
    make.modes.pop(at, None)
    make.holders = [each for each in make.holders if each != at]
    make.global_qos.discard(at)
    for consumers in make.consumers.values():
        consumers[:] = [each for each in consumers if each[:2] != at]


def reply_to(make: Maker) -> None:
    """Use direct reply-to: consume, request, reply, or misuse it."""
    rng = make.rng
    pseudo = "amq.rabbitmq.reply-to"
    at = (0, 1) if make.chance(0.7) else make.place()
    kind = rng.randrange(6)
    if kind < 2:
        args = {"queue": pseudo, "no_ack": make.chance(0.85), "consumer_tag": _tag(make)}
        make.add(Op("basic.consume", args), at=at)
    elif kind < 4:
        properties: list[tuple[str, Any]] = [("reply_to", pseudo), ("correlation_id", "c")]
        make.add(make.message("", make.queue(), properties=properties), at=at)
    elif kind == 4:
        make.add(make.message("", "$reply0", is_mandatory=make.chance(0.5)))
    else:
        name = rng.choice(["$reply0", pseudo])
        make.add(Op("queue.declare", {"queue": name, "passive": make.chance(0.5)}))
