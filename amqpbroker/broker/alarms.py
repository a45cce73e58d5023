"""Resource alarms: while one is on, publishers wait and consumers go on (FEATURES A1.15, A17).

A connection that publishes during an alarm is told so once, if it understands that; its socket is
not read until the last alarm is off. https://www.rabbitmq.com/docs/alarms
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("amqpbroker.alarms")

Resource = Literal["memory", "disk"]


class Alarms:
    """Which resources of a broker are short."""

    def __init__(self) -> None:
        self._short: dict[Resource, set[str]] = {}
        """Resource → who finds it short."""
        self._all_clear = anyio.Event()

    def __bool__(self) -> bool:
        return bool(self._short)

    @property
    def short(self) -> Iterable[Resource]:
        """The resources that are short, memory first."""
        return sorted(self._short, reverse=True)

    @property
    def reason(self) -> str:
        """What clients are told: ``low on memory & disk``."""
        return "low on " + " & ".join(self.short)

    def set(self, resource: Resource, source: str, is_short: bool) -> None:
        """Take note of what ``source`` finds; one that finds it short is enough for an alarm."""
        sources = self._short.get(resource, set())
        if (source in sources) == is_short:
            return
        if is_short:
            if not sources:
                logger.warning("alarm: low on %s, publishers wait", resource)
            self._short.setdefault(resource, set()).add(source)
            return
        sources.discard(source)
        if sources:
            return
        del self._short[resource]
        logger.warning("alarm over: %s", resource)
        if not self._short:
            self._all_clear.set()
            self._all_clear = anyio.Event()

    async def wait_until_clear(self) -> None:
        """Return when no alarm is on."""
        while self._short:
            await self._all_clear.wait()
