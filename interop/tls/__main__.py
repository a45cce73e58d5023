"""Measure messages a second over TLS, of ours and of a RabbitMQ in turns."""

from __future__ import annotations

import argparse
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trustme

from interop.tls.client import TlsClient, consume

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES: Final = {100: 200_000, 4096: 50_000}
"""Bytes of a body → messages of a round."""
ADDRESS: Final = re.compile(r"\bamqps=(\S+):(\d+)")
Address = tuple[str, int]


@contextmanager
def our_broker() -> Iterator[Address]:
    """Run ours with a certificate of its own."""
    with tempfile.TemporaryDirectory(prefix="amqpbroker-tls-") as folder:
        cert, key = (Path(folder) / name for name in ("cert.pem", "key.pem"))
        issued = trustme.CA().issue_cert("localhost")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)
        command = [sys.executable, "-m", "amqpbroker", "serve", "--memory", "--port", "0"]
        command += ["--management-port", "off", "--log-level", "error", "--tls-port", "0"]
        command += ["--tls-cert", str(cert), "--tls-key", str(key)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            match = ADDRESS.search(process.stdout.readline())
            assert match is not None, "our broker did not start"
            try:
                yield match[1], int(match[2])
            finally:
                process.terminate()


def rate(address: Address, size: int) -> float:
    """Return messages a second from the first publish to the last delivery."""
    spawn = multiprocessing.get_context("spawn")
    queue, is_ready = f"tls-{uuid.uuid4().hex[:8]}", spawn.Event()
    consumer = spawn.Process(target=consume, args=(address, queue, SIZES[size], size, is_ready))
    consumer.start()
    client = TlsClient(*address)
    is_ready.wait()
    start_s = time.monotonic()
    client.publish(queue, SIZES[size], size)
    consumer.join()
    elapsed_s = time.monotonic() - start_s
    client.close()
    if consumer.exitcode:
        raise RuntimeError("the consumer failed")
    return SIZES[size] / elapsed_s


def main() -> int:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(prog="python -m interop.tls", description=__doc__)
    parser.add_argument("--oracle", help="HOST:PORT of a RabbitMQ's TLS listener, guest/guest")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with our_broker() as ours:
        brokers = {"ours": ours}
        if options.oracle:
            host, _, port = options.oracle.rpartition(":")
            brokers["RabbitMQ"] = host, int(port)
        for size in SIZES:
            rates: dict[str, list[float]] = {name: [] for name in brokers}
            for _ in range(options.rounds):
                for name, address in brokers.items():
                    rates[name].append(rate(address, size))
            medians = {name: statistics.median(found) for name, found in rates.items()}
            cells = [f"{name} {found:>9,.0f}/s" for name, found in medians.items()]
            ratio = f"  x{medians['ours'] / medians['RabbitMQ']:.2f}" if options.oracle else ""
            print(f"{size:>5} B  " + "  ".join(cells) + ratio, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
