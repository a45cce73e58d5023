"""One quiet connection that shows what the others cost it: a message each 5 ms, to itself.

Run as its own process (`python -m interop.edges.probe HOST PORT`) so that the load client's
own work does not count. It stops when stdin ends and prints its samples as JSON: pairs of
(when the message was due, milliseconds until it came back), on the monotonic clock, which
all processes share.

A message that is late because the one before it was not back yet counts from when it was
due, so a stall of 100 ms is twenty bad samples and not one. Oversleeping is left out: that
would be this process's own delay.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time

from pamqp import commands

from interop.edges import frames

INTERVAL_S = 0.005
REPLY_TIMEOUT_S = 60.0
QUEUE = "amqpbroker-edges-probe"


class Probe:
    """A blocking client: send one, wait for it, note the time."""

    def __init__(self, host: str, port: int) -> None:
        """Connect, declare an exclusive queue and consume from it."""
        self.samples: list[tuple[float, float]] = []
        self._buffer = bytearray()
        self._socket = socket.create_connection((host, port), timeout=REPLY_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        consume = commands.Basic.Consume(queue=QUEUE, no_ack=True)
        for data in (
            frames.PROTOCOL_HEADER,
            frames.START_OK,
            frames.tune_ok() + frames.OPEN,
            frames.CHANNEL_OPEN,
            frames.method(commands.Queue.Declare(queue=QUEUE, exclusive=True)),
            frames.method(consume),
        ):
            self._socket.sendall(data)
            self._wait(frames.METHOD)
        self._message = frames.publish("", QUEUE, b"x" * 100)

    def run(self) -> None:
        """Measure until stdin ends.

        Raises:
            OSError: the broker closed the connection or did not answer.
        """
        due = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            sent = time.monotonic()
            self._socket.sendall(self._message)
            self._wait(frames.BODY)
            back = time.monotonic()
            self.samples.append((due, back - sent))
            due += INTERVAL_S
            while due < back:  # these were due while we waited
                self.samples.append((due, back - due))
                due += INTERVAL_S

    def _wait(self, kind: int) -> None:
        while True:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the broker closed the probe's connection")
            self._buffer += data
            if any(frame.kind == kind for frame in frames.split(self._buffer)):
                return


def main() -> None:
    """Measure, then print the samples and what went wrong, if something did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    samples: list[tuple[float, float]] = []
    error = None
    try:
        probe = Probe(options.host, options.port)
        print("started", flush=True)
        samples = probe.samples
        probe.run()
    except OSError as problem:
        error = f"{type(problem).__name__}: {problem}"
    print(json.dumps({"samples": [(at, s * 1000) for at, s in samples], "error": error}))


if __name__ == "__main__":
    main()
