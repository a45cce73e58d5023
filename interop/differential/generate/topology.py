"""Steps that declare, delete, bind and unbind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interop.differential.generate import vocabulary
from interop.differential.program import Op

if TYPE_CHECKING:
    from interop.differential.codec import Table
    from interop.differential.generate.maker import Maker


def queue_declare(make: Maker, name: str, **fields: Any) -> Op:
    """Return a queue.declare and note the queue as existing."""
    args = {"queue": name, **fields}
    if not fields.get("passive") and name in vocabulary.QUEUES:
        make.declared.setdefault(name, args)
    return Op("queue.declare", args)


def exchange_declare(make: Maker, name: str, kind: str, **fields: Any) -> Op:
    """Return an exchange.declare and note the exchange as existing."""
    if not fields.get("passive") and name in vocabulary.EXCHANGES:
        make.types.setdefault(name, kind)
    return Op("exchange.declare", {"exchange": name, "type": kind, **fields})


def some_queue(make: Maker) -> None:
    """Declare a queue with legal, random features."""
    name = make.rng.choice(vocabulary.QUEUES)
    flags = {flag: make.chance(0.2) for flag in ("exclusive", "auto_delete", "nowait")}
    arguments = vocabulary.queue_arguments(make.rng, make.rng.choice([0, 0, 1, 1, 2, 3]))
    flags["durable"] = make.chance(0.5)
    make.add(queue_declare(make, name, **flags, arguments=arguments))


def same_queue(make: Maker) -> None:
    """Declare a queue again: the same, with other integer widths, or with one thing changed."""
    if not make.declared:
        return some_queue(make)
    name = make.rng.choice(list(make.declared))
    args = dict(make.declared[name])
    arguments = [list(triple) for triple in args.get("arguments", [])]
    for triple in arguments:
        if triple[1] in vocabulary.INTEGER_KINDS and make.chance(0.5):
            triple[1:] = vocabulary.integer(make.rng, triple[2])
    if make.chance(0.5):
        _change_one(make, args, arguments)
    args["arguments"] = arguments
    args["nowait"] = make.chance(0.1)
    return make.add(Op("queue.declare", args))


def _change_one(make: Maker, args: dict[str, Any], arguments: list[list[Any]]) -> None:
    if arguments and make.chance(0.5):
        triple = make.rng.choice(arguments)
        if make.chance(0.4):
            arguments.remove(triple)
        elif isinstance(triple[2], int) and not isinstance(triple[2], bool):
            triple[1:] = vocabulary.integer(make.rng, triple[2] + 1)
        else:
            triple[1:] = vocabulary.value(make.rng, 0)
    elif make.chance(0.5):
        arguments += [list(each) for each in vocabulary.queue_arguments(make.rng, 1)]
    else:
        flag = make.rng.choice(["durable", "exclusive", "auto_delete"])
        args[flag] = not args.get(flag, False)


def bad_queue(make: Maker) -> None:
    """Declare a queue in a way that is refused."""
    rng = make.rng
    if make.chance(0.65):
        bad = vocabulary.bad_queue_argument(rng)
        others = vocabulary.queue_arguments(rng, rng.randrange(2))
        arguments = [*others, bad]
        rng.shuffle(arguments)
        name = rng.choice([*vocabulary.QUEUES, "@new", ""])
        make.add(queue_declare(make, name, durable=make.chance(0.5), arguments=arguments))
        return
    kinds = [("S", "quorum"), ("S", "stream"), ("S", "bad"), ("I", 1)]
    kind = rng.choice(kinds)
    refused = {"durable": False} if make.chance(0.5) else {"durable": True, "exclusive": True}
    name = rng.choice(["@new", "amq.bad", ""])
    arguments = [("x-queue-type", *kind)] if name != "amq.bad" else []
    make.add(queue_declare(make, name, **refused, arguments=arguments))


def odd_queue(make: Maker) -> None:
    """Declare a queue with a name out of the ordinary, or none."""
    rng = make.rng
    names = ["", "", "@" + "n" * 200, "@é €", "@a\r\nb", "@\udcff", "amq.rabbitmq.reply-to"]
    fields = {flag: make.chance(0.3) for flag in ("exclusive", "auto_delete", "durable")}
    name = rng.choice(names)
    if make.chance(0.1):
        fields["nowait"] = True
        fields["exclusive"] |= not name  # a name never told can only vanish with its connection
    make.add(queue_declare(make, name, **fields))


def passive(make: Maker) -> None:
    """Declare passively, with fields that must be ignored."""
    nowait = make.chance(0.2)
    if make.chance(0.5):
        arguments = vocabulary.queue_arguments(make.rng, make.rng.randrange(2))
        fields = {flag: make.chance(0.3) for flag in ("exclusive", "auto_delete", "durable")}
        name = make.rng.choice([make.queue(), make.queue(), "", "amq.gen-none"])
        make.add(
            queue_declare(make, name, passive=True, nowait=nowait, arguments=arguments, **fields)
        )
        return
    kind = make.rng.choice([*vocabulary.TYPES, "", "nonsense"])
    name = make.rng.choice([make.exchange(), make.exchange(), "", "amq.match"])
    make.add(exchange_declare(make, name, kind, passive=True, nowait=nowait))


def some_exchange(make: Maker) -> None:
    """Declare an exchange of a random type with random features."""
    rng = make.rng
    name = rng.choice(vocabulary.EXCHANGES)
    kind = rng.choice([*vocabulary.TYPES, *vocabulary.TYPES, "x-consistent-hash"])
    flags = {flag: make.chance(0.2) for flag in ("auto_delete", "internal", "nowait", "durable")}
    arguments = []
    if make.chance(0.3):
        alternate = rng.choice([*vocabulary.EXCHANGES, "amq.fanout", "", "@missing"])
        arguments.append(("alternate-exchange", "S", alternate))
    if make.chance(0.1):
        arguments += vocabulary.table(rng, 1)
    make.add(exchange_declare(make, name, kind, **flags, arguments=arguments))


def bad_exchange(make: Maker) -> None:
    """Declare an exchange in a way that is refused, or differs from the one there."""
    rng = make.rng
    name, kind = rng.choice(
        [
            ("@new", "nonsense"),
            ("@new", ""),
            ("amq.new", "direct"),
            ("", "direct"),
            ("amq.direct", "fanout"),
            ("amq.topic", "topic"),
            (make.exchange(), rng.choice(vocabulary.TYPES)),
            (make.exchange(), rng.choice(vocabulary.TYPES)),
        ]
    )
    arguments: Table = rng.choice(
        [
            [],
            [],
            [("alternate-exchange", "I", 1)],
            [("alternate-exchange", "S", "@x1")],
            [("hash-header", "S", "a"), ("hash-property", "S", "message_id")],
            [("hash-property", "S", "nonsense")],
        ]
    )
    if arguments and arguments[0][0].startswith("hash"):
        name, kind = "@hash", "x-consistent-hash"
    make.add(exchange_declare(make, name, kind, durable=make.chance(0.5), arguments=arguments))


def bind_queue(make: Maker) -> None:
    """Bind a queue to an exchange."""
    name = make.queue() if make.chance(0.95) else ""
    exchange = make.exchange() if make.chance(0.97) else ""
    key, arguments = make.binding(exchange)
    args = {"queue": name, "exchange": exchange, "routing_key": key, "arguments": arguments}
    make.add(Op("queue.bind", {**args, "nowait": make.chance(0.1)}))


def unbind_queue(make: Maker) -> None:
    """Unbind a queue: a binding made before, or any."""
    made = [op for step in make.steps for op in step.ops if op.name == "queue.bind"]
    if made and make.chance(0.7):
        args = {k: v for k, v in make.rng.choice(made).args.items() if k != "nowait"}
    else:
        key, arguments = make.binding("")
        args = {"queue": make.queue(), "exchange": make.exchange()}
        args.update(routing_key=key, arguments=arguments)
    make.add(Op("queue.unbind", args))


def bind_exchange(make: Maker) -> None:
    """Bind an exchange to an exchange; cycles and self-bindings happen."""
    source, destination = make.exchange(), make.exchange()
    if source.startswith("amq.") and destination.startswith("amq."):
        destination = "@x0"
    key, arguments = make.binding(source)
    args: dict[str, Any] = {"source": source, "destination": destination, "routing_key": key}
    args |= {"arguments": arguments, "nowait": make.chance(0.1)}
    make.add(Op("exchange.bind", args))


def unbind_exchange(make: Maker) -> None:
    """Unbind an exchange from an exchange."""
    made = [op for step in make.steps for op in step.ops if op.name == "exchange.bind"]
    if made and make.chance(0.8):
        args = dict(make.rng.choice(made).args)
    else:
        args = {"source": make.exchange(), "destination": make.exchange(), "routing_key": "a"}
    make.add(Op("exchange.unbind", args))


def delete_queue(make: Maker) -> None:
    """Delete or purge a queue."""
    name = make.queue()
    if make.chance(0.4):
        make.add(Op("queue.purge", {"queue": name, "nowait": make.chance(0.1)}))
        return
    flags = {"if_unused": make.chance(0.4), "if_empty": make.chance(0.3)}
    if not any(flags.values()):
        make.declared.pop(name, None)
    make.add(Op("queue.delete", {"queue": name, **flags, "nowait": make.chance(0.1)}))


def delete_exchange(make: Maker) -> None:
    """Delete an exchange, at times one that must not be."""
    name = make.exchange() if make.chance(0.9) else make.rng.choice(["", "amq.fanout"])
    is_only_unused = make.chance(0.5)
    if not is_only_unused:
        make.types.pop(name, None)
    args = {"exchange": name, "if_unused": is_only_unused, "nowait": make.chance(0.1)}
    make.add(Op("exchange.delete", args))


def confirm_layout(make: Maker) -> None:
    """Start with queues that overflow, and channels in confirm or transaction mode."""
    lay_out(make)
    for queue in list(make.declared):
        if make.chance(0.6):
            bounded = [("x-max-length", "I", make.rng.choice([0, 1, 2]))]
            modes = ["reject-publish", "reject-publish", "reject-publish-dlx", "drop-head"]
            arguments = [*bounded, ("x-overflow", "S", make.rng.choice(modes))]
            name = vocabulary.QUEUES[3] if make.chance(0.5) else queue
            if name == queue:
                make.add(Op("queue.delete", {"queue": queue}), at=(0, 1))
                make.declared.pop(queue)
            make.add(queue_declare(make, name, durable=True, arguments=arguments), at=(0, 1))
    for channel in range(1, make.channel_count + 1):
        mode = make.rng.choice(["confirm", "confirm", "tx"])
        make.modes[0, channel] = mode
        make.add(Op(f"{mode}.select"), at=(0, channel))


def lay_out(make: Maker) -> None:
    """Start a program with a few queues and exchanges, bound to each other."""
    rng = make.rng
    for name in vocabulary.QUEUES[: rng.randint(1, 3)]:
        make.add(queue_declare(make, name, durable=make.chance(0.5)), at=(0, 1))
    for name in vocabulary.EXCHANGES[: rng.randint(1, 2)]:
        kind = rng.choice(vocabulary.TYPES)
        make.add(exchange_declare(make, name, kind, durable=make.chance(0.5)), at=(0, 1))
    for queue in list(make.declared):
        exchange = rng.choice(list(make.types))
        key, arguments = make.binding(exchange)
        args = {"queue": queue, "exchange": exchange, "routing_key": key, "arguments": arguments}
        make.add(Op("queue.bind", args), at=(0, 1))
