"""What the tester remembers of one channel: unsettled deliveries, confirms, pending replies.

Only what is needed to choose the next delivery tag, to expand coalesced confirms and to know
what to wait for. It judges nothing: judging is done by comparing two transcripts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interop.differential.client import Received


@dataclass
class Channel:
    """One channel of a connection as seen from the client.

    Deliveries are (source, delivery tag); a source is a consumer by the order of its consume,
    or -1 for basic.get.
    """

    is_open: bool = False
    is_confirming: bool = False
    is_transactional: bool = False
    awaited: list[str] = field(default_factory=list)
    syncs_sent: list[bool] = field(default_factory=list)
    gets_sent: list[bool] = field(default_factory=list)
    no_ack_tags: dict[str, bool] = field(default_factory=dict)
    no_ack_unnamed: list[bool] = field(default_factory=list)
    unsettled: list[tuple[int, int]] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)
    settled_in_tx: list[tuple[int, int]] = field(default_factory=list)
    tag_max: int = 0
    is_interleaved: bool = False
    published_count: int = 0
    confirmed: set[int] = field(default_factory=set)
    sequence_of_body: dict[bytes, int] = field(default_factory=dict)

    @property
    def unconfirmed_count(self) -> int:
        """Messages published in confirm mode that were neither acked nor nacked."""
        return self.published_count - len(self.confirmed)

    def publish(self, body: bytes) -> None:
        """Count a message if the channel is in confirm mode."""
        if self.is_confirming:
            self.published_count += 1
            self.sequence_of_body[body] = self.published_count

    def expand_confirm(self, delivery_tag: int, multiple: bool) -> list[int] | None:
        """Return the numbers that a confirm settles; None if its tag is not outstanding."""
        if not 0 < delivery_tag <= self.published_count or delivery_tag in self.confirmed:
            return None
        first = 1 if multiple else delivery_tag
        numbers = [n for n in range(first, delivery_tag + 1) if n not in self.confirmed]
        self.confirmed.update(numbers)
        return numbers

    def deliver(self, source: str, received: Received) -> None:
        """Note a delivery to a consumer (its tag) or by basic.get (empty source)."""
        tag = received.args["delivery_tag"]
        self.tag_max = max(self.tag_max, tag)
        index = -1
        if source:
            is_settled = self.no_ack_tags.setdefault(source, False)
            index = list(self.no_ack_tags).index(source)
        else:
            is_settled = self.gets_sent.pop(0) if self.gets_sent else False
        if not is_settled:
            self.unsettled.append((index, tag))

    def settle(self, tag: int, is_multiple: bool) -> None:
        """Forget deliveries that the program settles now."""
        picked = [
            each
            for each in self.unsettled
            if each[1] == tag or (is_multiple and (each[1] < tag or tag == 0))
        ]
        self.unsettled = [each for each in self.unsettled if each not in picked]
        self.settled += picked
        if self.is_transactional:
            self.settled_in_tx += picked

    def roll_back(self) -> None:
        """Take back what was settled since the last commit."""
        self.unsettled = sorted(self.unsettled + self.settled_in_tx, key=lambda each: each[1])
        self.settled_in_tx = []
