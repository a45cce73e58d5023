"""Blocks of the log that were read back, and where in them the bodies of messages lie.

A block is one batch of the log. It is looked through once, where it was read (in a thread), for the
places of bodies; a body is cut out when it is delivered, and not copied before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from amqpbroker.storage.log import Corrupt
from amqpbroker.storage.shard_record import BadRecord, Bodies, bodies_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.storage.log import Batch


class Block(NamedTuple):
    """The bodies in one batch."""

    offset: int
    size: int
    """Bytes of all records."""
    firsts: Sequence[int]
    rows: Sequence[Bodies]
    """In the order of ``firsts``, the sequence that each starts with."""

    @classmethod
    def of(cls, batch: Batch) -> Block:
        """Return what lies in a batch.

        Raises :class:`~amqpbroker.storage.log.Corrupt` for a record that is none.
        """
        try:
            found = [bodies_in(data) for data in batch.records]
        except BadRecord as error:
            raise corrupt(batch.offset, str(error)) from None
        rows = sorted([row for row in found if row is not None], key=lambda row: row.first)
        size = sum(map(len, batch.records))
        return cls(batch.offset, size, [row.first for row in rows], rows)

    def row(self, sequence: int) -> Bodies | None:
        """Return the bodies among which a message's is, None if it is not in this batch."""
        index = bisect_right(self.firsts, sequence) - 1
        if index < 0 or sequence >= self.rows[index].end:
            return None
        return self.rows[index]


def corrupt(offset: int, reason: str) -> Corrupt:
    """Return the error for a batch that is not what was written."""
    return Corrupt("shard log", None, f"batch {offset}: {reason}")


class BodyCache:
    """The blocks used last: up to ``size_max`` bytes, or one if that is larger."""

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.size = 0
        """Bytes of the blocks that are kept."""
        self._blocks: OrderedDict[int, Block] = OrderedDict()

    def __contains__(self, offset: object) -> bool:
        return offset in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, offset: int) -> Block | None:
        """Return the block at an offset, None if it is not here; it counts as used."""
        block = self._blocks.get(offset)
        if block is not None:
            self._blocks.move_to_end(offset)
        return block

    def clear(self) -> None:
        """Keep nothing."""
        self._blocks.clear()
        self.size = 0

    def keep(self, blocks: Sequence[Block]) -> None:
        """Take in what one read has brought; the first is what it was read for."""
        for block in reversed(blocks):  # the first last: it is not thrown out for the others
            known = self._blocks.pop(block.offset, None)
            self._blocks[block.offset] = block
            if known is None:
                self.size += block.size
            while self.size > self.size_max and len(self._blocks) > 1:
                _, oldest = self._blocks.popitem(last=False)
                self.size -= oldest.size
