"""Programs: what is sent, as data that survives JSON, so that any of them can be replayed.

A step is what goes out in one write on one channel, followed by waiting until both brokers have
come to rest. An op is an AMQP method by its name with its arguments, or one of:

=================  ==============================================================================
``publish``        basic.publish with its content: exchange, routing_key, mandatory, immediate,
                   properties (pairs), id, size, chunk (bytes a body frame, 0 = as negotiated)
``settle``         method (basic.ack, basic.nack, basic.reject), multiple, requeue and one of
                   pick (n-th unsettled delivery), again (true: the last one settled),
                   beyond (n tags above the highest seen), tag (as given)
``raw``            kind, payload (hex), end: any frame at all
``header``         a content header alone: size, properties, class_id
``body``           a body frame alone: size
``method``         class_id, method_id, payload (hex): any method frame at all
``connect``        a handshake with odd values (fields of client.Tuning); the step's connection
                   is dropped first if it is open
``drop``           the socket is closed without a word
=================  ==============================================================================

In every string ``@`` at the start stands for the program's own prefix, ``$queue0`` for the first
server-named queue, ``$tag0`` for the first server-named consumer tag, ``$reply0`` for the first
direct reply-to address seen.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Op:
    """One thing to send."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Ops sent in one write on one channel of one connection.

    ``is_careful``: the channel is opened first if need be (misuse steps leave that out).
    ``rest_ms``: how long to let timers of the brokers run before looking at the result.
    """

    connection: int
    channel: int
    ops: tuple[Op, ...]
    is_careful: bool = True
    rest_ms: int = 0


@dataclass(frozen=True)
class Program:
    """A seeded list of steps; ``label`` is the theme it was made from."""

    label: str
    steps: tuple[Step, ...]

    def to_json(self) -> str:
        """Return the program as JSON, a step a line."""
        steps = ",\n  ".join(json.dumps(asdict(step)) for step in self.steps)
        return f'{{"label": {json.dumps(self.label)}, "steps": [\n  {steps}\n]}}\n'

    @staticmethod
    def from_json(text: str) -> Program:
        """Return the program that ``to_json`` wrote; raises ValueError or KeyError."""
        data = json.loads(text)
        steps = tuple(_step(step) for step in data["steps"])
        return Program(data["label"], steps)


def _step(data: dict[str, Any]) -> Step:
    ops = tuple(Op(op["name"], op["args"]) for op in data["ops"])
    return Step(data["connection"], data["channel"], ops, data["is_careful"], data["rest_ms"])
