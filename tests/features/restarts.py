"""A broker on a data directory that is killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.helpers import DEADLINE_S, RunningBroker
from tests.management.http_api import HttpApi
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.amqp_bytes import Message


class Restarts:
    """One broker process at a time on ``data_dir``; ``settings`` go by environment."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self.has_management = False
        """Whether to serve HTTP, too."""
        self._environment = {
            **os.environ,
            **{f"AMQPBROKER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[RawClient] = []
        self.log = ""
        """What the process that ended last has logged."""

    def start(self) -> RawClient:
        """Start the broker; return a client with channel 1 open."""
        process = self._spawn()
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], process.stderr and process.stderr.read()
        ports = {
            name: int(address.rpartition(":")[2])
            for name, _, address in (word.partition("=") for word in words[1:])
            if address != "off"
        }
        self._broker = RunningBroker("127.0.0.1", ports["amqp"], ports.get("management", 0))
        return self.connect()

    def _spawn(self) -> subprocess.Popen[str]:
        assert self._process is None
        serve = ("serve", "--data-dir", str(self.data_dir), "--port", "0")
        management_port = "0" if self.has_management else "off"
        self._process = subprocess.Popen(
            (sys.executable, "-m", "amqpbroker", *serve, "--management-port", management_port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        return self._process

    def dial(self) -> RawClient:
        """Return a client that has said nothing yet."""
        client = RawClient(self._broker)
        self._clients.append(client)
        return client

    def connect(self) -> RawClient:
        """Return another client."""
        client = self.dial()
        client.login()
        client.tune_ok()
        client.open()
        client.open_channel()
        return client

    @property
    def port(self) -> int:
        """Where it listens for AMQP."""
        return self._broker.port

    @property
    def api(self) -> HttpApi:
        """The management API of the running process."""
        return HttpApi(self._broker.host, self._broker.management_port, "/")

    def start_in_vain(self) -> tuple[int, str]:
        """Start a broker that ends by itself; return its exit code and its log."""
        process = self._spawn()
        self._process = None
        _, log = process.communicate(timeout=DEADLINE_S)
        return process.returncode, log

    def kill(self) -> None:
        """Kill the broker without a warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Stop the broker in good order; return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        for client in self._clients:
            client.close()
        self._clients.clear()
        process.send_signal(number)
        try:
            _, self.log = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
        return process.returncode

    def close(self) -> None:
        """End what still runs."""
        if self._process is not None:
            self.kill()


def get_all(client: RawClient, queue: str) -> list[Message]:
    """Get all messages of a queue; they stay unsettled."""
    messages = []
    while message := client.get(queue, no_ack=False):
        messages.append(message)
    return messages
