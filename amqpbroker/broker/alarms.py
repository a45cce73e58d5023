"""Resource alarms: while one is on, publishers wait and consumers go on (FEATURES A1.15, A17).

A connection that publishes during an alarm, or waits for confirms when it begins, is told so once,
if it understands that; who publishes is not read until the last alarm is off. https://www.rabbitmq.com/docs/alarms
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("amqpbroker.alarms")

Resource = Literal["memory", "disk", "storage"]
"""``storage``: it fails although there is room."""


_ORDER: Final[tuple[Resource, ...]] = ("memory", "disk", "storage")
_FAILING: Final = "storage cannot be written"


class Alarms:
    """Which resources of a broker are short."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        """``on_change`` is called when the first alarm begins and when the last is over."""
        self._on_change = on_change
        self._short: dict[Resource, set[str]] = {}
        """Resource → who finds it short, or failing."""
        self._all_clear = anyio.Event()

    def __bool__(self) -> bool:
        return bool(self._short)

    @property
    def short(self) -> Iterable[Resource]:
        """The resources that are short or fail, memory first."""
        return [resource for resource in _ORDER if resource in self._short]

    @property
    def reason(self) -> str:
        """What clients are told: ``low on memory & disk``, ``storage cannot be written``."""
        low = " & ".join(resource for resource in self.short if resource != "storage")
        parts = [f"low on {low}"] if low else []
        if "storage" in self._short:
            parts.append(_FAILING)
        return ", ".join(parts)

    def set(self, resource: Resource, source: str, is_short: bool) -> None:
        """Take note of what ``source`` finds; one that finds it short is enough for an alarm."""
        sources = self._short.get(resource, set())
        if (source in sources) == is_short:
            return
        if is_short:
            if not sources:
                what = _FAILING if resource == "storage" else f"low on {resource}"
                logger.warning("alarm: %s, publishers wait", what)
            is_first = not self._short
            self._short.setdefault(resource, set()).add(source)
            if is_first:
                self._on_change()
            return
        sources.discard(source)
        if sources:
            return
        del self._short[resource]
        logger.warning("alarm over: %s", resource)
        if not self._short:
            self._all_clear.set()
            self._all_clear = anyio.Event()
            self._on_change()

    async def wait_until_clear(self) -> None:
        """Return when no alarm is on."""
        while self._short:
            await self._all_clear.wait()
