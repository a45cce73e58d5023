"""Start Debian's rabbitmq-server for one benchmark run: private, on loopback, in a temp folder.

Its own epmd on a free port goes with it, so that nothing is left behind and a RabbitMQ that
already runs on the machine is not disturbed. The management plugin is on, as in our broker.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from interop.edges.broker import Broker, StartFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S = 90.0
STARTED = "Starting broker... completed"


def is_installed() -> bool:
    """Tell whether Debian's package is here."""
    return SERVER.exists()


@contextlib.contextmanager
def running() -> Iterator[Broker]:
    """Start RabbitMQ and stop it at the end.

    Raises:
        StartFailed: with the end of its output.
    """
    folder = Path(tempfile.mkdtemp(prefix="amqpbroker-rabbitmq-"))
    amqp, management, dist, epmd = _free_ports(4)
    environment = _configure(folder, amqp=amqp, management=management, dist=dist, epmd=epmd)
    output = folder / "output"
    started = time.perf_counter()
    with output.open("w") as log:
        process = subprocess.Popen(
            [SERVER], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, text=True
        )
    broker = Broker("RabbitMQ", "127.0.0.1", amqp, pid=process.pid, process=process)
    try:
        while STARTED not in output.read_text(errors="replace"):
            if process.poll() is not None or time.perf_counter() - started > START_TIMEOUT_S:
                raise StartFailed(output.read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        broker.ready_s = time.perf_counter() - started
        yield broker
    finally:
        broker.stop()
        kill = ["epmd", "-port", str(epmd), "-kill"]
        subprocess.run(kill, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path, *, amqp: int, management: int, dist: int, epmd: int) -> dict[str, str]:
    """Write the two configuration files and return the environment."""
    config = folder / "rabbitmq.conf"
    config.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{amqp}\n"
        f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
    )
    plugins = folder / "enabled_plugins"
    plugins.write_text("[rabbitmq_management].\n")
    return os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_NODENAME": f"bench{amqp}@localhost",
        "RABBITMQ_DIST_PORT": str(dist),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
