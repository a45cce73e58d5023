"""Random names, tables, properties and queue arguments, right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random

    from interop.differential.codec import Table

QUEUES: Final = ("@q0", "@q1", "@q2", "@q3")
EXCHANGES: Final = ("@x0", "@x1", "@x2", "@x3")
TYPES: Final = ("direct", "fanout", "topic", "headers")
ROUTING_KEYS: Final = ("", "a", "b", "a.b", "a.b.c", "b.a", "a..b", ".", "k" * 255, "é€")
BINDING_KEYS: Final = (*ROUTING_KEYS, "*", "#", "a.*", "a.#", "#.b", "*.b.#", "#.#", "*.*")
INTEGER_KINDS: Final = {
    "b": (-128, 127),
    "B": (0, 255),
    "s": (-(2**15), 2**15 - 1),
    "u": (0, 2**16 - 1),
    "I": (-(2**31), 2**31 - 1),
    "i": (0, 2**32 - 1),
    "l": (-(2**63), 2**63 - 1),
}
LONG_AGO_S: Final = 1_000_000_000
"""A time that no clock of a broker shows: it is compared as it is."""
BODY_SIZES: Final = (0, 1, 2, 10, 10, 10, 50, 50, 200, 1000)
BIG_BODY_SIZES: Final = (4087, 4088, 4089, 8192, 65536, 131063, 131064, 131065, 300_000)


def integer(rng: Random, value: int) -> tuple[str, int]:
    """Return ``value`` in one of the integer types that hold it."""
    kinds = [kind for kind, (low, high) in INTEGER_KINDS.items() if low <= value <= high]
    return rng.choice(kinds), value


def text(rng: Random) -> str:
    """Return a short text, sometimes odd."""
    return rng.choice(["", "a", "b", "text", "é€", "with space", "0", "-1", "\udc80", "x" * 100])


def value(rng: Random, depth: int = 2) -> tuple[str, Any]:
    """Return a random table value of any type."""
    kinds = "tbBsuIilfdDSxTV" + ("AF" if depth else "")
    kind = rng.choice(kinds)
    if kind in INTEGER_KINDS:
        low, high = INTEGER_KINDS[kind]
        return kind, rng.choice([0, 1, low, high, rng.randint(low, high)])
    if kind == "A":
        return kind, [list(value(rng, depth - 1)) for _ in range(rng.randrange(4))]
    if kind == "F":
        return kind, table(rng, rng.randrange(4), depth - 1)
    simple = {
        "t": rng.choice([True, False]),
        "f": rng.choice([0.0, 0.5, -2.25]),
        "d": rng.choice([0.0, 0.1, -1e300]),
        "D": [rng.randrange(5), rng.randint(-1000, 1000)],
        "S": text(rng),
        "x": rng.choice(["", "00ff", "ce" * 9]),
        "T": LONG_AGO_S,
        "V": None,
    }
    return kind, simple[kind]


def table(rng: Random, size: int, depth: int = 2) -> Table:
    """Return a random table; names may repeat."""
    names = [rng.choice(["a", "b", "h0", "h1", "x-y", "é", "k" * 30]) for _ in range(size)]
    return [(name, *value(rng, depth)) for name in names]


def match_headers(rng: Random) -> Table:
    """Return headers from a small set, so that bindings of a headers exchange match at times."""
    picked = rng.sample(["h0", "h1", "h2", "x-h"], rng.randrange(4))
    values = [("S", "a"), ("S", "b"), ("I", 1), ("l", 1), ("t", True), ("d", 1.0), ("V", None)]
    return [(name, *rng.choice(values)) for name in picked]


def match_arguments(rng: Random) -> Table:
    """Return the arguments of a binding to a headers exchange."""
    arguments = match_headers(rng)
    modes = ["all", "any", "all-with-x", "any-with-x"]
    if rng.random() < 0.75:
        mode: tuple[str, Any] = ("S", rng.choice(modes))
    else:
        mode = rng.choice([("S", "bad"), ("I", 1), ("S", "ALL"), ("V", None)])
    if rng.random() < 0.85:
        arguments.insert(rng.randrange(len(arguments) + 1), ("x-match", *mode))
    return arguments


def properties(rng: Random, *, share: float = 0.3) -> list[tuple[str, Any]]:
    """Return legal properties of a message, each present with probability ``share``."""
    choices: list[tuple[str, Any]] = [
        ("content_type", text(rng)),
        ("content_encoding", text(rng)),
        ("headers", table(rng, rng.randrange(5))),
        ("delivery_mode", rng.choice([1, 2, 2])),
        ("priority", rng.choice([0, 1, 2, 5, 9, 10, 255])),
        ("correlation_id", text(rng)),
        ("reply_to", text(rng)),
        ("expiration", rng.choice(["600000", "315360000000"])),
        ("message_id", text(rng)),
        ("timestamp", rng.choice([0, LONG_AGO_S, 2**63, 2**64 - 1])),
        ("type", text(rng)),
        ("user_id", "guest"),
        ("app_id", text(rng)),
        ("cluster_id", text(rng)),
    ]
    return [pair for pair in choices if rng.random() < share]


def bad_properties(rng: Random) -> list[tuple[str, Any]]:
    """Return properties that a broker refuses (or ignores where they are merely odd)."""
    expirations = ["", "x", "-1", "1.5", "1 ", "315360000001", "99999999999999999999", "1x", "+1"]
    strange: tuple[str, Any] = rng.choice(
        [
            ("S", "a"),
            ("A", [["I", 1]]),
            ("A", []),
            ("V", None),
            ("A", [["S", "a"], ["I", 1]]),
            ("F", []),
        ]
    )
    return rng.choice(
        [
            [("expiration", rng.choice(expirations))],
            [("user_id", rng.choice(["nobody", ""]))],
            [("delivery_mode", rng.choice([0, 3, 255]))],
            [("headers", [(rng.choice(["CC", "BCC"]), *strange)])],
        ]
    )


def copies(rng: Random, queues: tuple[str, ...] = QUEUES) -> Table:
    """Return CC and BCC headers naming routing keys, some of them queues."""
    out: Table = []
    for name in ("CC", "BCC"):
        if rng.random() < 0.6:
            keys = [rng.choice([*ROUTING_KEYS[:6], *queues]) for _ in range(rng.randrange(4))]
            out.append((name, "A", [["S", key] for key in keys]))
    rng.shuffle(out)
    return [*out, *table(rng, rng.randrange(2))]


def queue_arguments(rng: Random, count: int) -> Table:
    """Return legal queue arguments that need no waiting."""
    choices: list[tuple[str, str, Any]] = [
        ("x-message-ttl", *integer(rng, rng.choice([600_000, 3_600_000]))),
        ("x-expires", *integer(rng, 600_000)),
        ("x-max-length", *integer(rng, rng.choice([0, 1, 2, 3, 100]))),
        ("x-max-length-bytes", *integer(rng, rng.choice([0, 10, 60, 100_000]))),
        ("x-overflow", "S", rng.choice(["drop-head", "reject-publish", "reject-publish-dlx"])),
        ("x-max-priority", *integer(rng, rng.choice([0, 1, 2, 9, 10, 255]))),
        ("x-dead-letter-exchange", "S", rng.choice(["", *EXCHANGES])),
        ("x-single-active-consumer", "t", rng.random() < 0.7),
        ("x-queue-mode", "S", rng.choice(["lazy", "default"])),
        ("x-queue-version", *integer(rng, rng.choice([1, 2]))),
        ("x-queue-type", "S", "classic"),
        ("x-unknown", *value(rng)),
        ("x-ha-policy", "S", "all"),
    ]
    picked = rng.sample(choices, min(count, len(choices)))
    if any(name == "x-dead-letter-exchange" for name, _, _ in picked) and rng.random() < 0.5:
        picked.append(("x-dead-letter-routing-key", "S", rng.choice([*QUEUES, "a", ""])))
    return picked


def bad_queue_argument(rng: Random) -> tuple[str, str, Any]:
    """Return one argument that queue.declare refuses, or may refuse."""
    numbers = ["x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority"]
    texts = ["x-overflow", "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-queue-mode"]
    texts += ["x-queue-type", "x-dead-letter-strategy", "x-queue-leader-locator", "x-max-age"]
    kind = rng.randrange(5)
    if kind == 0:
        wrong = rng.choice([("S", "1"), ("d", 1.5), ("t", True), ("V", None), ("x", "31")])
        return (rng.choice(numbers), *wrong)
    if kind == 1:
        return (rng.choice(numbers), *integer(rng, rng.choice([-1, 0, 256, 2**40, -(2**40)])))
    if kind == 2:
        return (rng.choice(texts), *rng.choice([("S", "bad"), ("S", ""), ("I", 1), ("t", False)]))
    if kind == 3:
        name = rng.choice(["x-single-active-consumer", "x-queue-version"])
        return (name, *rng.choice([("S", "true"), ("I", 0), ("I", 3), ("V", None)]))
    return rng.choice(
        [
            ("x-dead-letter-routing-key", "S", "a"),
            ("x-max-age", "S", "1D"),
            ("x-initial-cluster-size", "I", 0),
            ("x-quorum-initial-group-size", "I", 1),
            ("x-stream-max-segment-size-bytes", "I", 1000),
            ("x-max-in-memory-length", "I", 1),
            ("x-delivery-limit", "I", 1),
            ("x-dead-letter-strategy", "S", "at-least-once"),
        ]
    )
