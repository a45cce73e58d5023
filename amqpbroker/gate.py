"""How many clients may be connected, whatever they have said so far.

Every connection costs a file descriptor, and a broker without one cannot write its log. So there
are always some that no client gets: the connection that is one too many is closed as it comes. A
machine that runs out of descriptors all the same makes clients wait, and ends nothing.
"""

from __future__ import annotations

import errno
import logging
import resource
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import aclose_forcefully
from anyio.abc import ByteStream, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import TaskGroup

    from amqpbroker.config import Config

logger = logging.getLogger("amqpbroker.gate")

DESCRIPTOR_COUNT_MAX: Final = 1 << 20
"""What the limit is raised to where the system sets none."""
RESERVED_COUNT: Final = 512
"""Descriptors for files, the HTTP API and what libraries open; of a low limit a half."""
SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
RETRY_S: Final = 0.1
LOG_INTERVAL_S: Final = 10.0


def raise_descriptor_limit() -> None:
    """Take as many descriptors as the system lets a process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTOR_COUNT_MAX if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_count_max(config: Config) -> int:
    """Return how many clients may be connected."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = DESCRIPTOR_COUNT_MAX if soft == resource.RLIM_INFINITY else soft
    free = limit - min(RESERVED_COUNT, limit // 2)
    return free if config.connection_max is None else min(free, config.connection_max)


class Gate:
    """Counts clients of all listeners."""

    def __init__(self, count_max: int) -> None:
        self.count_max = count_max
        self.count = 0
        self._logged_at = -LOG_INTERVAL_S

    def enter(self) -> bool:
        """Let a client in, unless there are too many."""
        if self.count >= self.count_max:
            self.log(f"clients are turned away: {self.count} are connected, which is the limit")
            return False
        self.count += 1
        return True

    def leave(self) -> None:
        """A client has gone."""
        self.count -= 1

    def log(self, text: str) -> None:
        """Log a line every few seconds: whoever floods us with clients shall not fill the disk."""
        now = anyio.current_time()
        if now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            logger.warning(text)


class GatedListener(Listener[ByteStream]):
    """Accepts as many clients of a listener as the gate lets in."""

    def __init__(self, listener: Listener[Any], gate: Gate) -> None:
        self._listener = listener
        self._gate = gate

    async def serve(
        self, handler: Callable[[ByteStream], Any], task_group: TaskGroup | None = None
    ) -> None:
        """Accept until cancelled or closed, also while descriptors are short."""

        async def handle(stream: ByteStream) -> None:
            if not self._gate.enter():
                await aclose_forcefully(stream)
                return
            try:
                await handler(stream)
            finally:
                self._gate.leave()

        while await self._is_short(handle, task_group):
            self._gate.log("clients wait: the system has no file descriptors left")
            await anyio.sleep(RETRY_S)

    async def _is_short(self, handle: Any, task_group: TaskGroup | None) -> bool:
        is_short = False
        try:
            await self._listener.serve(handle, task_group)
        except* OSError as group:
            if not all(error.errno in SCARCE for error in _leaves(group)):
                raise
            is_short = True
        return is_short

    async def aclose(self) -> None:
        """Close the listener."""
        await self._listener.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Return what the listener says of itself."""
        return self._listener.extra_attributes


def _leaves(group: BaseExceptionGroup[OSError]) -> list[OSError]:
    leaves: list[OSError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
