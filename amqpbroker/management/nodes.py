"""``/nodes``: the process that this broker is (FEATURES A18.3)."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Final

from amqpbroker.auth.principal import MONITORING
from amqpbroker.management.call import Answer, Api, Json
from amqpbroker.management.errors import not_found
from amqpbroker.management.overview import contexts, exchange_types
from amqpbroker.management.paths import new_router

router = new_router()

_PROCESS: Final = Path("/proc/self")
_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_size() -> int:
    """Return the bytes of memory in use, 0 where the system does not tell."""
    try:
        return int((_PROCESS / "statm").read_text().split()[1]) * _PAGE_SIZE
    except (OSError, IndexError, ValueError):
        return 0


def descriptor_count() -> int:
    """Return the open file descriptors, 0 where the system does not tell."""
    try:
        return len(os.listdir(_PROCESS / "fd"))
    except OSError:
        return 0


def descriptor_count_max() -> int:
    """Return how many file descriptors there may be, 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def uptime_ms() -> int:
    """Return the milliseconds since the process started, 0 where the system does not tell."""
    try:
        ticks = int((_PROCESS / "stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
    return int((time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")) * 1000)


def disk_free_size(folder: Path) -> int:
    """Return the bytes free where ``folder`` is or will be."""
    for path in (folder, *folder.absolute().parents):
        if path.exists():
            return shutil.disk_usage(path).free
    return 0


def describe(call: Api) -> dict[str, Any]:
    """Return the node as the API shows it."""
    config = call.broker.config
    return {
        "auth_mechanisms": [
            {"name": name, "description": f"SASL {name}", "enabled": True}
            for name in config.auth_mechanisms
        ],
        "cluster_links": [],
        "config_files": [] if config.config_file is None else [str(config.config_file)],
        "contexts": contexts(call),
        "db_dir": "" if config.is_memory else str(config.data_dir),
        "disk_free": disk_free_size(config.data_dir),
        "disk_free_alarm": "disk" in call.broker.alarms.short,
        "exchange_types": exchange_types(),
        "fd_total": descriptor_count_max(),
        "fd_used": descriptor_count(),
        "mem_alarm": "memory" in call.broker.alarms.short,
        "mem_calculation_strategy": "rss",
        "mem_used": memory_size(),
        "name": call.node,
        "os_pid": str(os.getpid()),
        "partitions": [],
        "processors": os.cpu_count() or 1,
        "rates_mode": "none",
        "running": True,
        "sockets_used": len(call.broker.sessions),
        "type": "disc",
        "uptime": uptime_ms(),
    }


@router.get("/nodes")
async def list_all(call: Api) -> Answer:
    """List the one node."""
    call.require(MONITORING)
    return Json([describe(call)])


@router.get("/nodes/{name:name}")
async def show(call: Api, name: str) -> Answer:
    """Show the node."""
    call.require(MONITORING)
    if name != call.node:
        raise not_found()
    return Json(describe(call))
