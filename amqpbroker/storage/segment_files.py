"""Making segment files, and finding things in full ones by their index files."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from contextlib import closing, suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

from amqpbroker.storage.batch import Damaged, crc_seed
from amqpbroker.storage.disk import NO_SPACE
from amqpbroker.storage.encryption import NO_KEY, SALT_SIZE
from amqpbroker.storage.index import (
    INDEX_MAGIC,
    TIME_INDEX_MAGIC,
    SegmentIndex,
    decode_index,
    encode_index,
)
from amqpbroker.storage.manifest import TEMPORARY_SUFFIX
from amqpbroker.storage.segment import (
    HEAD_SIZE,
    INDEX_SUFFIX,
    TIME_INDEX_SUFFIX,
    SegmentHead,
    encode_head,
    segment_name,
    walk,
)

if TYPE_CHECKING:
    from amqpbroker.storage.disk import Disk, File
    from amqpbroker.storage.log import Offset
    from amqpbroker.storage.manifest import Manifest
    from amqpbroker.storage.options import LogOptions
    from amqpbroker.storage.recovery import Segment

_logger = logging.getLogger(__name__)

INDEXES_MAX: Final = 64
"""Indexes of full segments held in memory, the latest used."""

_RESERVE_MIN: Final = 64 * 1024
"""Bytes to reserve where a whole segment does not fit on the disk any more."""

_INDEX_FILES: Final = (INDEX_SUFFIX, INDEX_MAGIC), (TIME_INDEX_SUFFIX, TIME_INDEX_MAGIC)


def new_head(base: Offset, epoch: int, manifest: Manifest, options: LogOptions) -> SegmentHead:
    """Return the head of a segment to be created, with the newest key."""
    head = SegmentHead(base, epoch, options.now_ms(), manifest.incarnation, salt=_salt())
    if options.keyring is None:
        return head
    key_id = options.keyring.newest
    _, check = options.keyring.cipher(key_id, head.salt, head.incarnation)
    return head._replace(key_id=key_id, check=check)


def key_in_use(options: LogOptions) -> int:
    """Return the id of the key that is written with now."""
    return NO_KEY if options.keyring is None else options.keyring.newest


def create_segment(disk: Disk, head: SegmentHead, batches: bytes, *, size: int) -> File:
    """Create a segment durably, holding ``batches``, at least ``size`` bytes reserved.

    After an OSError the file may or may not be there; creating it again is safe.
    """
    name = segment_name(head.base)
    temporary = name + TEMPORARY_SUFFIX
    file = disk.create(temporary)
    try:
        _reserve(file, size, HEAD_SIZE + len(batches))
        file.write(0, encode_head(head), batches)
        file.sync()
        disk.rename(temporary, name)
        disk.sync_names()
    except OSError:
        file.close()
        with suppress(OSError):
            disk.remove(temporary)
        raise
    return file


def _reserve(file: File, size: int, used: int) -> None:
    try:
        file.allocate(size)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        file.allocate(min(size, used + _RESERVE_MIN))


def _salt() -> bytes:
    return os.urandom(SALT_SIZE)


class Indexes:
    """The indexes of full segments: from memory, else from their files, else built anew."""

    def __init__(self, disk: Disk, interval: int) -> None:
        self._disk = disk
        self._interval = interval
        self._lock = Lock()
        self._recent: OrderedDict[str, SegmentIndex] = OrderedDict()

    def of(self, segment: Segment, stop: Offset, manifest: Manifest) -> SegmentIndex:
        """Return the index of a full segment that ends before ``stop``. Raises OSError."""
        with self._lock:
            index = self._recent.get(segment.name) or self._load(segment)
            if index is None:
                index = self._build(segment, stop, manifest)
                self._store(segment, index)
            self._remember(segment.name, index)
            return index

    def put(self, segment: Segment, index: SegmentIndex) -> None:
        """Take over the index of a segment that became full."""
        with self._lock:
            self._store(segment, index)
            self._remember(segment.name, index)

    def forget(self, segment: Segment) -> None:
        """Delete the index of a segment that goes; quietly where that fails."""
        with self._lock:
            self._recent.pop(segment.name, None)
            for suffix, _ in _INDEX_FILES:
                with suppress(OSError):
                    self._disk.remove(segment_name(segment.head.base, suffix))

    def _remember(self, name: str, index: SegmentIndex) -> None:
        self._recent[name] = index
        self._recent.move_to_end(name)
        if len(self._recent) > INDEXES_MAX:
            self._recent.popitem(last=False)

    def _load(self, segment: Segment) -> SegmentIndex | None:
        index = SegmentIndex(self._interval)
        loaded = []
        try:
            covers = self._size(segment)
            for suffix, magic in _INDEX_FILES:
                with closing(
                    self._disk.open_to_read(segment_name(segment.head.base, suffix))
                ) as file:
                    data = file.read(0, file.size())
                loaded.append(decode_index(data, magic, segment.head, covers))
        except FileNotFoundError:
            return None
        except Damaged as error:
            _logger.info("%s: building the index anew: %s", segment.name, error)
            return None
        index.offsets, index.times = loaded
        return index

    def _build(self, segment: Segment, stop: Offset, manifest: Manifest) -> SegmentIndex:
        with closing(self._disk.open_to_read(segment.name)) as file:
            data = file.read(0, file.size())
        found = walk(
            data, segment.head.base, stop, seed=crc_seed(manifest.incarnation),
            gone=manifest.gone, position=HEAD_SIZE,
        )  # fmt: skip
        index = SegmentIndex(self._interval)
        for position, header in found.batches:
            index.note(header.offset, position, header.timestamp_ms)
        index.finish(stop)
        return index

    def _store(self, segment: Segment, index: SegmentIndex) -> None:
        try:
            covers = self._size(segment)
            for (suffix, magic), part in zip(
                _INDEX_FILES, (index.offsets, index.times), strict=True
            ):
                data = encode_index(part, magic, segment.head, covers)
                with closing(self._disk.create(segment_name(segment.head.base, suffix))) as file:
                    file.write(0, data)
        except OSError as error:
            _logger.info("%s: no index file: %s", self._disk.path_of(segment.name), error)

    def _size(self, segment: Segment) -> int:
        with closing(self._disk.open_to_read(segment.name)) as file:
            return file.size()
