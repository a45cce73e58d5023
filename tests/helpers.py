"""The broker that tests over real sockets talk to: its process and its management API."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.parse
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEADLINE_S: Final = 8.0
"""How long a test waits for a frame, an end of stream or the end of a process."""

START_DEADLINE_S: Final = 15.0
"""How long a broker may take until it is ready; busy machines import slowly."""


@dataclass(frozen=True)
class RunningBroker:
    """A broker that accepts connections; ``process`` is None when the tests did not start it."""

    host: str
    port: int
    management_port: int
    vhost: str = "/"
    process: subprocess.Popen[str] | None = None
    tls_port: int = 0
    management_tls_port: int = 0

    def url(self, vhost: str | None = None, query: str = "") -> str:
        """Return the AMQP URL of ``vhost``, by default the vhost that the tests use."""
        path = urllib.parse.quote(self.vhost if vhost is None else vhost, safe="")
        return f"amqp://guest:guest@{self.host}:{self.port}/{path}{query}"

    @property
    def management(self) -> Management:
        """The management API of this broker, as guest."""
        return Management(self.host, self.management_port)


class Management(NamedTuple):
    """A minimal client of the management API; paths are given without ``/api``."""

    host: str
    port: int

    def request(self, method: str, path: str, content: object = None) -> Any:
        """Send one request; return the decoded answer, and fail on any status over 299."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE_S)
        token = base64.b64encode(b"guest:guest").decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        with contextlib.closing(connection):
            body = None if content is None else json.dumps(content)
            connection.request(method, f"/api{path}", body, headers)
            response = connection.getresponse()
            text = response.read()
            assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
            return json.loads(text) if text else None


@contextlib.contextmanager
def start_broker(log: IO[str] | None = None, /, **settings: object) -> Iterator[RunningBroker]:
    """Run ``amqpbroker serve --memory`` in a process; SIGTERM must make it exit with 0.

    ``settings`` are given as environment: ``start_broker(frame_max=4096)``. ``log`` gets what the
    process logs.
    """
    ports = ("--host", "127.0.0.1", "--port", "0", "--management-port", "0")
    command = [sys.executable, "-m", "amqpbroker", "serve", "--memory", *ports]
    given = {f"AMQPBROKER_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, **given}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        guard = threading.Timer(START_DEADLINE_S, process.kill)
        guard.start()
        try:
            words = process.stdout.readline().split()
            guard.cancel()
            assert words[:1] == ["ready"], f"the broker's first line is {words}"
            yield _running(dict(word.split("=", 1) for word in words[1:]), process)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0, "the broker must exit with 0 on SIGTERM"
        finally:
            guard.cancel()
            process.kill()


def _running(addresses: Mapping[str, str], process: subprocess.Popen[str]) -> RunningBroker:
    host = addresses["amqp"].rpartition(":")[0]

    def port(label: str) -> int:
        return int(addresses.get(label, ":0").rpartition(":")[2])

    return RunningBroker(
        host,
        port("amqp"),
        port("management"),
        process=process,
        tls_port=port("amqps"),
        management_tls_port=port("management-tls"),
    )


@contextlib.contextmanager
def external_broker(url: str) -> Iterator[RunningBroker]:
    """Use the broker at ``url`` in a vhost made for this run; its management is 10000 above."""
    address = urllib.parse.urlsplit(url)
    port = address.port or 5672
    management_port = int(os.environ.get("AMQPBROKER_TEST_MANAGEMENT_PORT", port + 10_000))
    vhost = f"test-{os.urandom(4).hex()}"
    broker = RunningBroker(address.hostname or "127.0.0.1", port, management_port, vhost)
    broker.management.request("PUT", f"/vhosts/{vhost}", {})
    full = {"configure": ".*", "write": ".*", "read": ".*"}
    broker.management.request("PUT", f"/permissions/{vhost}/guest", full)
    try:
        yield broker
    finally:
        broker.management.request("DELETE", f"/vhosts/{vhost}")
