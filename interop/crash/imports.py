"""Kill the broker at random moments of an import; all of it must be there afterwards, or nothing.

The moments are spread over the time that a whole import takes here, and some more: some kills come
before the commit, some in it, some behind it.
"""

from __future__ import annotations

import http.client
import json
import time
from base64 import b64encode
from contextlib import suppress
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from interop.crash.process import BrokerProcess

if TYPE_CHECKING:
    from pathlib import Path

VHOST: Final = "imported"
SPREAD: Final = 1.2
"""The last moment of a kill, in times that an import takes."""
TIMEOUT_S: Final = 120.0


def document(count: int) -> dict[str, list[dict[str, Any]]]:
    """Return ``count`` durable queues and bindings in a new vhost and in ``/``, and accounts."""
    vhosts = ("/", VHOST)
    each = [(vhost, f"imported-{number}") for number in range(count // 2) for vhost in vhosts]
    user = {"name": "imported", "password": "secret", "tags": ""}
    patterns = {"configure": "", "write": "", "read": ""}
    source = {"name": "imported", "type": "topic", "durable": True}
    ends = {"source": "imported", "destination_type": "queue"}
    return {
        "vhosts": [{"name": VHOST}],
        "users": [user],
        "permissions": [{"user": "imported", "vhost": vhost, **patterns} for vhost in vhosts],
        "exchanges": [{**source, "vhost": vhost} for vhost in vhosts],
        "queues": [{"name": name, "vhost": vhost, "durable": True} for vhost, name in each],
        "bindings": [
            {**ends, "vhost": vhost, "destination": name, "routing_key": name}
            for vhost, name in each
        ],
    }


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of an answer of the management API.

    Raises :class:`OSError` or :class:`http.client.HTTPException` if the broker is gone.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        token = b64encode(b"guest:guest").decode()
        connection.request(method, f"/api{path}", body, {"Authorization": f"Basic {token}"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def found(broker: BrokerProcess) -> dict[str, int]:
    """Return how many objects of each kind there are that an import has made."""
    status, body = ask(broker.management_port, "GET", "/definitions")
    assert status == 200, body
    kinds = json.loads(body).items()
    lists = {key: items for key, items in kinds if isinstance(items, list)}
    return {
        key: sum("imported" in json.dumps(item) for item in items) for key, items in lists.items()
    }


class Rounds:
    """What came of the kills so far."""

    def __init__(self, count: int) -> None:
        made = document(count)
        self._data = json.dumps(made).encode()
        self._whole = {key: len(items) for key, items in made.items()}
        self.kept = 0
        self.gone = 0
        self.problems: list[str] = []

    def time_of_one(self, data_dir: Path) -> float:
        """Return how long a whole import takes, in seconds."""
        broker = BrokerProcess(data_dir, {}, management_port="0")
        started = time.monotonic()
        status, body = ask(broker.management_port, "POST", "/definitions", self._data)
        took_s = time.monotonic() - started
        self._judge("not killed", found(broker), is_promised=status == 204)
        if status != 204:
            self.problems.append(f"not killed: {status} {body!r}")
        broker.kill()
        return took_s

    def play(self, data_dir: Path, delay_s: float) -> None:
        """Import, kill after a delay, and look what is left."""
        broker = BrokerProcess(data_dir, {}, management_port="0")
        answers: list[int] = []

        def bring_in() -> None:
            with suppress(OSError, http.client.HTTPException):
                answers.append(ask(broker.management_port, "POST", "/definitions", self._data)[0])

        thread = Thread(target=bring_in)
        thread.start()
        time.sleep(delay_s)
        broker.kill()
        thread.join()
        broker = BrokerProcess(data_dir, {}, management_port="0")
        self._judge(f"killed after {delay_s:.3f} s", found(broker), is_promised=answers == [204])
        broker.kill()

    def _judge(self, when: str, left: dict[str, int], *, is_promised: bool) -> None:
        counts = {key: left.get(key, 0) for key in self._whole}
        if counts == self._whole:
            self.kept += 1
        elif any(counts.values()) or is_promised:
            self.problems.append(f"{when}: {counts} of {self._whole}")
        else:
            self.gone += 1

    def __str__(self) -> str:
        text = f"{self.kept} imports whole, {self.gone} not there, {len(self.problems)} problems"
        return "; ".join([text, *self.problems])


def play_imports(base: Path, rounds: int, count: int, seed: int) -> Rounds:
    """Kill ``rounds`` brokers, each on a directory of its own in ``base``."""
    random, result = Random(seed), Rounds(count)
    base.mkdir(parents=True, exist_ok=True)
    took_s = result.time_of_one(base / "whole")
    for number in range(rounds):
        result.play(base / f"round-{number}", random.uniform(0, SPREAD * took_s))
    return result
