"""Reading an open log piece by piece; runs in any thread while the writer goes on.

A reader keeps its place: segment, position and the offset due there. Each piece is one ``pread``
and as many whole batches as it holds. Segments may be trimmed or dropped meanwhile: the file is
opened anew for every piece, and a file that is gone is looked up in the manifest again.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import closing
from typing import TYPE_CHECKING

from amqpbroker.storage.batch import HEADER_SIZE, Damaged, Header, decode, decode_header
from amqpbroker.storage.log import Batch, Corrupt, Offset, Truncated
from amqpbroker.storage.recovery import Segment, unavailable
from amqpbroker.storage.segment import HEAD_SIZE, check_order, segment_name

if TYPE_CHECKING:
    from amqpbroker.storage.disk import File
    from amqpbroker.storage.index import SegmentIndex
    from amqpbroker.storage.segment_store import SegmentStore


class Reader:
    """One iteration over the offsets ``start`` to below ``stop``."""

    def __init__(self, store: SegmentStore, start: Offset, stop: Offset | None) -> None:
        """``stop`` None: where the log ends now."""
        self._store = store
        self._offset = start
        self._stop = store.last + 1 if stop is None else min(stop, store.last + 1)
        # The place: valid while `_segment` is the one that holds `_offset`
        self._segment: Segment | None = None
        self._position = 0
        self._due = 0
        self._epoch = 0

    def next_piece(self) -> list[Batch]:
        """Return the next batches, [] at the end.

        Raises Truncated, Corrupt, LogUnavailable.
        """
        while True:
            manifest, segments = self._store.manifest, self._store.segments
            if self._offset < manifest.first:
                raise Truncated(self._offset, manifest.first)
            self._offset = manifest.gone.skip(self._offset)
            if self._offset >= self._stop:
                return []
            try:
                batches = self._read_on()
            except FileNotFoundError:
                if (self._store.manifest, self._store.segments) == (manifest, segments):
                    raise Corrupt(self._path(), None, "the file is missing") from None
                continue  # it was deleted or replaced by ourselves
            except OSError as error:
                raise unavailable(self._path(), error) from error
            except Damaged as error:
                raise Corrupt(self._path(), self._position, str(error)) from None
            if batches:
                return batches

    def _read_on(self) -> list[Batch]:
        segments = self._store.segments
        number = bisect_right(segments, self._offset, key=lambda segment: segment.head.base) - 1
        if number < 0:
            raise FileNotFoundError
        segment = segments[number]
        stop = self._stop
        if segment is not segments[-1]:
            stop = min(stop, segments[number + 1].head.base)
        stop = self._store.manifest.gone.retreat(stop)
        if self._segment is not segment:
            self._find_place(segment)
        with closing(self._store.disk.open_to_read(segment.name)) as file:
            return self._decode_piece(file, segment, stop)

    def _find_place(self, segment: Segment) -> None:
        """Go to the batch due at `_offset`, or to an indexed one before it."""
        self._segment = segment
        self._position, self._due = HEAD_SIZE, segment.head.base
        if self._offset > self._store.manifest.gone.skip(segment.head.base):
            index = index_of(self._store, segment)
            self._due, self._position = index.offsets.floor(self._offset)
        self._epoch = max(self._epoch, segment.head.epoch)

    def _decode_piece(self, file: File, segment: Segment, stop: Offset) -> list[Batch]:
        left = segment.end - self._position
        size = min(left, max(self._store.options.read_size, HEADER_SIZE))
        data = file.read(self._position, size)
        if len(data) < size:
            raise Damaged(f"the file ends {left - len(data)} bytes too early")
        first = self._header(data, 0, stop)
        if first is not None and first.total_size > len(data):
            if first.total_size > left:
                raise Damaged("the segment ends in the middle of a batch")
            data = file.read(self._position, first.total_size)
        batches: list[Batch] = []
        try:
            self._decode_all(data, segment, stop, batches)
        except Damaged:
            if not batches:
                raise
            # What is sound comes first; the next piece begins with the damage.
        return batches

    def _decode_all(
        self, data: bytes, segment: Segment, stop: Offset, batches: list[Batch]
    ) -> None:
        """Add the batches in a piece to ``batches``, and go on to behind them."""
        seed, cipher = self._store.seed, segment.cipher
        start, at, size = self._position, 0, len(data)
        while header := self._header(data, at, stop):
            end = at + HEADER_SIZE + header.size
            if end > size:
                break
            offset = header.offset
            if offset >= self._offset:
                batches.append(decode(header, data, at, seed, cipher))
                self._offset = offset + 1
            at = end
            self._position = start + at
            self._epoch = header.epoch
            self._due = offset + 1

    def _header(self, data: bytes, at: int, stop: Offset) -> Header | None:
        """Return the header at ``at``; None where the piece or the work ends."""
        due = self._due
        if due < stop:
            if at and len(data) - at < HEADER_SIZE:
                return None
            header = decode_header(data, at)
            if header.offset == due and header.epoch >= self._epoch:
                return header
            due = self._store.manifest.gone.skip(due)
            if due < stop:
                check_order(header, due, self._epoch)
                return header
        self._offset = max(self._offset, due)
        return None

    def _path(self) -> str:
        name = self._segment.name if self._segment else segment_name(self._offset)
        return self._store.disk.path_of(name)


def index_of(store: SegmentStore, segment: Segment) -> SegmentIndex:
    """Return the index of a segment. Raises OSError: it was deleted meanwhile."""
    index = segment.index
    if index is not None:
        return index
    segments = store.segments
    place = bisect_right(segments, segment.head.base, key=lambda item: item.head.base)
    if place == len(segments) or segments[place - 1] is not segment:
        raise FileNotFoundError(segment.name)
    return store.indexes.of(segment, segments[place].head.base, store.manifest)


def offset_for_time(store: SegmentStore, timestamp_ms: int) -> Offset | None:
    """Return the first offset whose batch is not older than ``timestamp_ms``, or None.

    Kafka's offsetsForTimes (FEATURES B2.16): timestamps may go back, the first match counts.
    Raises Corrupt, LogUnavailable.
    """
    while True:
        segments, manifest = store.segments, store.manifest
        try:
            return _offset_for_time(store, timestamp_ms)
        except (FileNotFoundError, Truncated):
            if (store.manifest, store.segments) == (manifest, segments):
                raise Corrupt(store.disk.path_of(""), None, "a file is missing") from None
        except OSError as error:
            raise unavailable(store.disk.path_of(""), error) from error


def _offset_for_time(store: SegmentStore, timestamp_ms: int) -> Offset | None:
    segments = store.segments
    stops = [*(segment.head.base for segment in segments[1:]), store.last + 1]
    for segment, stop in zip(segments, stops, strict=False):
        if segment.time_max is not None and segment.time_max < timestamp_ms:
            continue
        index = index_of(store, segment)
        if segment.index is None:
            segment.time_max = index.times.keys[-1]
        try:
            _, start = index.times.below(timestamp_ms)
        except LookupError:  # timestamp 0 or less: everything is younger
            start = segment.head.base
        reader = Reader(store, max(start, store.manifest.first), stop)
        while batches := reader.next_piece():
            for batch in batches:
                if batch.timestamp_ms >= timestamp_ms:
                    return batch.offset
    return None
