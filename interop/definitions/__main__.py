"""Bring a RabbitMQ's definitions to our broker and back, and compare the exports.

Exit code 1 when they differ.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interop.definitions.document import comparable, own, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S: Final = 300.0
MANAGEMENT: Final = re.compile(r"\bmanagement=(\S+):(\d+)")


class Management(NamedTuple):
    """The API of a broker, as guest."""

    host: str
    port: int

    def __call__(self, method: str, path: str, content: object = None) -> Any:
        """Send a request; raises RuntimeError for an answer that is an error."""
        token = base64.b64encode(b"guest:guest").decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE_S)
        with closing(connection):
            connection.request(method, f"/api{path}", body, headers)
            response = connection.getresponse()
            text = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text.decode()}")
        return json.loads(text) if text else None

    def delete(self, prefix: str) -> None:
        """Delete the vhost and the users of a sample."""
        self("DELETE", f"/vhosts/{prefix}")
        for user in ("u", "x"):
            self("DELETE", f"/users/{prefix}-{user}")


@contextmanager
def our_broker() -> Iterator[Management]:
    """Run ours on a new data directory."""
    command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="amqpbroker-definitions-") as folder:
        command += ["--management-port", "0", "--data-dir", folder, "--log-level", "warning"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            match = MANAGEMENT.search(process.stdout.readline())
            assert match is not None, "our broker did not start"
            try:
                yield Management(match[1], int(match[2]))
            finally:
                process.terminate()


def lines(document: dict[str, Any]) -> list[str]:
    """Return a document as text that can be compared."""
    text = json.dumps(comparable(document), indent=1, ensure_ascii=False, sort_keys=True)
    return text.splitlines()


def compare(name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Print how two exports differ; return whether they do not."""
    difference = list(
        difflib.unified_diff(lines(one), lines(other), "RabbitMQ", name, lineterm="", n=4)
    )
    print(f"{name}: {'the same' if not difference else 'differs'}")
    print("\n".join(difference))
    return not difference


def both_ways(oracle: Management, ours: Management) -> bool:
    """Bring definitions over and back; return whether nothing has changed on the way."""
    prefix = f"definitions-{uuid.uuid4().hex[:8]}"
    oracle("POST", "/definitions", sample(prefix))
    try:
        first = own(oracle("GET", "/definitions"), prefix)
        ours("POST", "/definitions", first)
        second = own(ours("GET", "/definitions"), prefix)
        oracle.delete(prefix)
        oracle("POST", "/definitions", second)
        third = own(oracle("GET", "/definitions"), prefix)
    finally:
        oracle.delete(prefix)
    is_same = compare("imported into ours and exported", first, second)
    return compare("imported into RabbitMQ again", first, third) and is_same


def measure(ours: Management, count: int) -> None:
    """Print how long an import of many durable queues takes, and one that changes nothing."""
    queues = [{"name": f"q-{i}", "durable": True, "arguments": {}} for i in range(count)]
    for what in ("new", "there already"):
        start_s = time.monotonic()
        ours("POST", "/definitions/%2F", {"queues": queues})
        print(f"{count} queues, {what}: {time.monotonic() - start_s:.1f} s")


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m interop.definitions", description=__doc__)
    parser.add_argument("--oracle", help="HOST:PORT of the management API of a RabbitMQ")
    parser.add_argument("--queues", type=int, metavar="N", help="time the import of N queues")
    options = parser.parse_args()
    is_ok = True
    with our_broker() as ours:
        if options.oracle:
            host, _, port = options.oracle.rpartition(":")
            is_ok = both_ways(Management(host, int(port)), ours)
        if options.queues:
            measure(ours, options.queues)
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
