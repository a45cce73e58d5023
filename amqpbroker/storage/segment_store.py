"""The embedded log without its threads: everything that changes files, one call at a time.

`segment_log.SegmentLog` runs all of this in one writer thread; `reader.Reader` looks at
``segments``, ``manifest`` and ``last`` from other threads. Those are replaced, never changed, and
``last`` moves only after everything below it can be read; so no lock is needed.

**Append.** Encode, one ``writev`` behind the last batch, one ``fdatasync`` (policy ``always``).
A batch that does not fit makes a new segment first.

**New segment.** The old one is synced whatever the policy, so only the active segment can ever
have a doubtful tail. The new one is written under a temporary name, synced, renamed: it exists
complete or not at all. From then on the old one must not grow (the base of the new one says where
it stops), even if the sync of the directory failed; hence ``_must_roll``.

**A failed write or fsync.** What is on the disk is unknown; the writer is dead and the file is
never written again. Before the log is used next, `settle` copies the doubtful tail, as far as it
still verifies, into a new segment, synced: landed. What does not verify is lost for good, for
the base of the new segment cuts it off.

**Deleting.** First the manifest says which offsets are gone, then the files go. A crash in
between is finished by the next opening.
"""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from amqpbroker.storage.batch import HEADER_SIZE, crc_seed, encode
from amqpbroker.storage.disk import NO_SPACE
from amqpbroker.storage.index import SegmentIndex
from amqpbroker.storage.log import (
    AppendRejected,
    AppendTimeout,
    Batch,
    Fenced,
    LogUnavailable,
    Offset,
    SegmentExtent,
)
from amqpbroker.storage.manifest import Manifest, store_manifest
from amqpbroker.storage.memory import check_end, check_owner, check_records
from amqpbroker.storage.recovery import NO_STOP, Recovered, Segment, cipher_for, unavailable
from amqpbroker.storage.segment import HEAD_SIZE, SegmentHead, segment_name, walk
from amqpbroker.storage.segment_files import Indexes, create_segment, key_in_use, new_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.storage.disk import Disk, File
    from amqpbroker.storage.options import LogOptions

_logger = logging.getLogger(__name__)


class SegmentStore:
    """An open log in a locked directory. See the module for who may call what from where."""

    def __init__(self, disk: Disk, options: LogOptions, recovered: Recovered) -> None:
        self.disk = disk
        self.options = options
        self.manifest, self.segments, self.last, self.epoch = recovered
        self.seed = crc_seed(self.manifest.incarnation)
        self.indexes = Indexes(disk, options.index_interval)
        self.is_closed = False
        self._reserve = min(options.reserve_size or options.segment_size, options.segment_size)
        # Who may append: the writer of this generation. The one before may have died of doubt.
        self._generation = 0
        self._doubted: int | None = None
        # The active segment
        self._file: File | None = None
        self._capacity = 0
        self._must_roll = False
        # What is on the disk: offsets below _durable_next, bytes below _durable_end
        self._durable_next = self.last + 1
        self._durable_end = self.segments[-1].end if self.segments else 0
        self._durable_epoch = self.epoch
        self._is_doubtful = False
        self._unsynced_since: float | None = None

    # Appending

    def fence(self, after: Offset, epoch: int, owner: str) -> int:
        """Append an epoch batch; return the generation of the new writer. See `Log.fence`."""
        size = check_owner(owner)
        self.settle()
        check_end(after, self.last, epoch, self.epoch)
        if self.segments and self.segments[-1].head.key_id != key_in_use(self.options):
            self._must_roll = True
        offset = self._append((), size, epoch, owner)
        if self._durable_next <= offset:
            self._sync()
        self._generation += 1
        # From here on the loss of the whole active segment would be noticed.
        with suppress(LogUnavailable):
            self._replace_manifest(self.manifest._replace(floor=offset))
        return self._generation

    def append(self, generation: int, records: Sequence[bytes]) -> Offset:
        """Append one batch for the writer of ``generation``. See `Writer.append`."""
        size = check_records(records, self.options.batch_size_max)
        self._check_generation(generation)
        offset = self._append(records, size, self.epoch)
        self.tick()
        self._check_generation(generation)
        return offset

    def tick(self) -> float | None:
        """Sync if that is due (policy ``interval``); return the seconds until it will be, or None.

        A failure shows at the next append.
        """
        if self.options.fsync != "interval" or self._unsynced_since is None:
            return None
        due = self._unsynced_since + self.options.fsync_interval_s
        wait = due - self.options.monotonic()
        if wait > 0:
            return wait
        with suppress(AppendTimeout):
            self._sync()
        return None

    @property
    def needs_settling(self) -> bool:
        """Whether `settle` would do or raise something."""
        return self._is_doubtful or self.is_closed

    def settle(self) -> None:
        """After a failed write or sync, find out what landed. Raises LogUnavailable."""
        if self.is_closed:
            raise LogUnavailable(f"{self.disk.path_of('')} was closed")
        if not self._is_doubtful:
            return
        old = self.segments[-1]
        try:
            with closing(self.disk.open_to_read(old.name)) as file:
                tail = file.read(self._durable_end, file.size() - self._durable_end)
            found = walk(tail, self._durable_next, NO_STOP, seed=self.seed, gone=self.manifest.gone)
            # The same key and salt, so that sealed batches open in their new place.
            head = old.head._replace(base=self._durable_next, epoch=self._durable_epoch)
            new = self._create_segment(head, tail[: found.end], len(tail))
        except OSError as error:
            raise unavailable(self.disk.path_of(old.name), error) from error
        old.end = self._durable_end
        for position, header in found.batches:
            assert new.index is not None
            new.index.note(header.offset, HEAD_SIZE + position, header.timestamp_ms)
        self._put_segment(new)
        self.last = max(found.expected, self._durable_next) - 1
        self.epoch = found.batches[-1][1].epoch if found.batches else self._durable_epoch
        self._is_doubtful = False
        self._note_synced()
        _logger.warning("%s: goes on in %s, last offset %d", old.name, new.name, self.last)

    def close(self) -> None:
        """Make everything durable and let go of the directory; see `SegmentedLog.close`."""
        if self.is_closed:
            return
        self.is_closed = True
        self._generation += 1
        try:
            if self._file is not None:
                if self._unsynced_since is not None:
                    self._sync()
                self._file.truncate(self.segments[-1].end)
                self._file.sync()
            if not self._is_doubtful and self.manifest.floor < self.last:
                store_manifest(self.disk, self.manifest._replace(floor=self.last))
        except (OSError, AppendTimeout) as error:
            _logger.error("%s: not closed cleanly: %s", self.disk.path_of(""), error)
        finally:
            self._close_file()
            self.disk.unlock()

    def _check_generation(self, generation: int) -> None:
        if generation == self._doubted:
            raise AppendTimeout("a write failed before, this writer is dead; fence again")
        if generation != self._generation:
            raise Fenced("somebody else writes this log, or it was closed")

    def _append(
        self, records: Sequence[bytes], size: int, epoch: int, owner: str | None = None
    ) -> Offset:
        batch = Batch(self.last + 1, epoch, self.options.now_ms(), records, owner)
        segment, file = self._room_for(size + 4 * len(records), epoch)
        header, payload = encode(
            batch, durable_before=self._durable_next, seed=self.seed, cipher=segment.cipher
        )
        position = segment.end
        try:
            file.write(position, header, payload)
        except OSError as error:
            raise self._refuse(file, error) from error
        if self._unsynced_since is None:
            self._unsynced_since = self.options.monotonic()
        if self.options.fsync == "always":
            self._sync_file(file)
        assert segment.index is not None
        segment.index.note(batch.offset, position, batch.timestamp_ms)
        segment.end = position + len(header) + len(payload)
        self.epoch = epoch
        self.last = batch.offset
        if self.options.fsync == "always":
            self._note_synced()
        return batch.offset

    def _refuse(self, file: File, error: OSError) -> AppendRejected | AppendTimeout:
        """Return what a failed write means: a definite no where its trace can be wiped out.

        The rest of a batch that was cut short may be zeros, which the file holds already; so what
        was written must go, durably, before one can say that the batch will never be there.
        """
        if error.errno not in NO_SPACE:
            return self._doubt(error)
        segment = self.segments[-1]
        try:
            file.truncate(segment.end)
            file.sync()
        except OSError as second_error:
            return self._doubt(second_error)
        self._note_synced()
        self._must_roll = True
        return AppendRejected(str(unavailable(self.disk.path_of(segment.name), error)))

    def _room_for(self, payload_size: int, epoch: int) -> tuple[Segment, File]:
        """Return the active segment and its file, with room for one more batch."""
        if self.segments and self._file is None and not self._must_roll:
            self._open_active()
        overhead = HEADER_SIZE + 64  # 64: more than any cipher adds
        size = payload_size + overhead
        if self.options.reserve_size is not None and self._file is not None:
            end = self.segments[-1].end + size
            if self._capacity < end <= self.options.segment_size and not self._must_roll:
                full = self.options.segment_size
                self._capacity = _grown(self._file, min(full, end + self._reserve))
        if self._must_roll or self._file is None or self.segments[-1].end + size > self._capacity:
            self._roll(HEAD_SIZE + size, epoch)
        assert self._file is not None
        return self.segments[-1], self._file

    def _open_active(self) -> None:
        segment = self.segments[-1]
        try:
            file = self.disk.open(segment.name)
            try:
                file.allocate(min(self.options.segment_size, segment.end + self._reserve))
                self._capacity = file.size()
            except OSError:
                file.close()
                raise
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise unavailable(self.disk.path_of(segment.name), error) from error
            self._must_roll = True  # perhaps a smaller one finds room
        else:
            self._file = file

    def _roll(self, size: int, epoch: int) -> None:
        """Begin a new segment with room for ``size`` bytes."""
        if self._unsynced_since is not None:
            self._sync()
        head = new_head(self.last + 1, self.epoch, self.manifest, self.options)
        try:
            new = self._create_segment(head, b"", size)
        except OSError as error:
            self._must_roll = True
            path = self.disk.path_of(segment_name(head.base))
            raise AppendRejected(str(unavailable(path, error))) from error
        self._put_segment(new)
        self._note_synced()

    def _create_segment(self, head: SegmentHead, batches: bytes, size: int) -> Segment:
        """Create the next active segment and open its file; finish the one before."""
        path = self.disk.path_of(segment_name(head.base))
        cipher = cipher_for(head, self.options.keyring, path)
        size = max(self._reserve, size + HEAD_SIZE)
        file = create_segment(self.disk, head, batches, size=size)
        self._finish_active(head.base)
        self._file, self._capacity, self._must_roll = file, file.size(), False
        segment = Segment(head, cipher, HEAD_SIZE + len(batches))
        segment.index = SegmentIndex(self.options.index_interval)
        return segment

    def _finish_active(self, stop: Offset) -> None:
        """Give back what the full segment reserved, and store its index; never fails."""
        if self._file is None:
            return
        old = self.segments[-1]
        try:
            self._file.truncate(old.end)
        except OSError as error:
            _logger.info("%s: not shortened: %s", self.disk.path_of(old.name), error)
        self._close_file()
        if old.index is not None and old.head.base < stop:
            old.index.finish(stop)
            self.indexes.put(old, old.index)

    def _put_segment(self, new: Segment) -> None:
        """Make ``new`` the active segment; it replaces one of the same base."""
        kept = self.segments
        if kept and kept[-1].head.base == new.head.base:
            kept = kept[:-1]
        self.segments = (*kept, new)
        if kept:
            kept[-1].index = None

    # What is on the disk

    def _sync(self) -> None:
        if self._file is not None:
            self._sync_file(self._file)
        self._note_synced()

    def _sync_file(self, file: File) -> None:
        try:
            file.sync()
        except OSError as error:
            raise self._doubt(error) from error

    def _note_synced(self) -> None:
        self._durable_next = self.last + 1
        self._durable_end = self.segments[-1].end if self.segments else 0
        self._durable_epoch = self.epoch
        self._unsynced_since = None

    def _doubt(self, error: OSError) -> AppendTimeout:
        """Give up the file and the writer: nobody knows what is on the disk."""
        path = self.disk.path_of(self.segments[-1].name)
        _logger.error("%s: writing failed, what landed is unknown: %s", path, error)
        self._is_doubtful = True
        self._unsynced_since = None
        self._doubted = self._generation
        self._close_file()
        return AppendTimeout(f"{path}: {error}")

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    # Deleting

    def stops(self) -> list[Offset]:
        """Return, for each segment, the offset behind its last one that is not gone."""
        bases = [segment.head.base for segment in self.segments[1:]]
        return [*map(self.manifest.gone.retreat, bases), self.last + 1][: len(self.segments)]

    def extents(self) -> list[SegmentExtent]:
        """See `SegmentedLog.segments`."""
        return [
            SegmentExtent(segment.head.base, stop - 1, segment.end)
            for segment, stop in zip(self.segments, self.stops(), strict=True)
            if segment.head.base < stop
        ]

    def drop(self, start: Offset, stop: Offset) -> None:
        """See `SegmentedLog.drop`; `Log.trim` is ``drop(0, before)``."""
        self.settle()
        victims = [
            (segment, end)
            for segment, end in zip(self.segments[:-1], self.stops(), strict=False)
            if start <= segment.head.base and end <= stop and end <= self.last
        ]
        if not victims:
            return
        gone = self.manifest.gone
        for segment, end in victims:
            gone = gone.add(segment.head.base, end)
            self.indexes.forget(segment)  # first: on a full disk it makes room for the manifest
        floor = max(self.manifest.floor, self._durable_next - 1)
        self._replace_manifest(self.manifest._replace(gone=gone, floor=floor))
        dead = {segment.name for segment, _ in victims}
        self.segments = tuple(s for s in self.segments if s.name not in dead)
        try:
            for segment, _ in victims:
                self.disk.remove(segment.name)
            self.disk.sync_names()
        except OSError as error:
            _logger.warning("%s: not deleted yet: %s", self.disk.path_of(""), error)

    def _replace_manifest(self, manifest: Manifest) -> None:
        try:
            store_manifest(self.disk, manifest)
        except OSError as error:
            raise unavailable(self.disk.path_of("manifest"), error) from error
        self.manifest = manifest


def _grown(file: File, size: int) -> int:
    """Reserve more of a segment if there is space; return what it has now."""
    with suppress(OSError):  # a new segment is tried next
        file.allocate(size)
    return file.size()
