"""Opening a log: which files belong to it, where it ends, and what of the end to believe.

Only the active segment is read; all others were complete and synced before their successor was
created, and are verified whenever they are read.

**The end of the active segment.** Batches are good up to some position. What follows is

1. nothing, or zeros reserved ahead: the log ends here;
2. something damaged, and behind it a good batch that says the damaged place had been durable
   (``durable_before``), or the manifest's ``floor`` says so: promised data is gone. `Corrupt`;
3. something damaged that was in flight when the machine stopped: cut, with a log line. Under
   fsync policy ``always`` that is one batch, otherwise what was written since the last sync.

**Believing the tail.** A good batch behind the last ``durable_before`` is in the page cache but
perhaps not on the disk, nor will an fsync bring it there if one failed before the process died.
So it is written again, over itself, and synced, before anything is built on it.
"""

from __future__ import annotations

import errno
import logging
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpbroker.storage.batch import Damaged, crc_seed
from amqpbroker.storage.encryption import NO_KEY
from amqpbroker.storage.index import SegmentIndex
from amqpbroker.storage.log import Corrupt, LogMissing, LogUnavailable, Offset
from amqpbroker.storage.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    TEMPORARY_SUFFIX,
    Manifest,
    NewerFormat,
    load_manifest,
)
from amqpbroker.storage.segment import (
    HEAD_SIZE,
    INDEX_SUFFIX,
    TIME_INDEX_SUFFIX,
    SegmentHead,
    Walk,
    base_of,
    batches_behind,
    decode_head,
    segment_name,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from amqpbroker.storage.disk import Disk
    from amqpbroker.storage.encryption import Keyring, SegmentCipher
    from amqpbroker.storage.options import LogOptions

_logger = logging.getLogger(__name__)

NO_STOP: Final = 2**64
"""Above every offset: where the active segment stops."""

_ADVICE: Final = {
    errno.EAGAIN: "another process has it open; stop that one first",
    errno.EACCES: "no permission; check the owner and the mode of the directory and its files",
    errno.EPERM: "no permission; check the owner and the mode of the directory and its files",
    errno.EROFS: "the file system is read-only; remount it writable",
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
}


class Segment:
    """A segment of an open log."""

    __slots__ = ("cipher", "end", "head", "index", "name", "time_max")

    def __init__(self, head: SegmentHead, cipher: SegmentCipher | None, end: int) -> None:
        self.head = head
        self.cipher = cipher
        self.name = segment_name(head.base)
        self.end = end
        """Position behind the last batch that counts; of a full segment, the file's size."""
        self.index: SegmentIndex | None = None
        """Of the active segment only."""
        self.time_max: int | None = None
        """The highest timestamp of a full segment, once somebody asked."""


class Recovered(NamedTuple):
    """An opened log. The last segment is the active one; there is none in a new log."""

    manifest: Manifest
    segments: tuple[Segment, ...]
    last: Offset
    epoch: int


def unavailable(path: str, error: OSError) -> LogUnavailable:
    """Return ``error`` as what a human can act on."""
    advice = _ADVICE.get(error.errno or 0, "check the disk and the system's log")
    return LogUnavailable(f"{path}: {error.strerror or error} ({advice})")


def newer(path: str, error: NewerFormat) -> LogUnavailable:
    """Return the refusal of data from the future."""
    return LogUnavailable(
        f"{path} was written by a newer version (format {error.args[0]}, this one knows up to "
        f"{FORMAT_VERSION}): start the version that wrote it; nothing was changed"
    )


def cipher_for(head: SegmentHead, keyring: Keyring | None, path: str) -> SegmentCipher | None:
    """Return what opens the payloads of a segment. Raises LogUnavailable: key missing or wrong."""
    if head.key_id == NO_KEY:
        return None
    if keyring is None:
        raise LogUnavailable(
            f"{path} is encrypted with key {head.key_id}: give the key file it was written with"
        )
    if head.key_id not in keyring:
        raise LogUnavailable(
            f"{path} is encrypted with key {head.key_id}, which the key file does not hold: "
            "put it back"
        )
    cipher, check = keyring.cipher(head.key_id, head.salt, head.incarnation)
    if check != head.check:
        raise LogUnavailable(
            f"{path} is encrypted with another key {head.key_id} than the key file holds: "
            "give the key file it was written with"
        )
    return cipher


def recover(disk: Disk, options: LogOptions) -> Recovered:
    """Open the log in ``disk``, which is locked. Raises LogMissing, Corrupt, LogUnavailable."""
    names = disk.names()
    disk.sync_names()  # a name that a killed process made may be in the page cache only
    manifest = _manifest(disk, names)
    bases = _live_bases(disk, names, manifest)
    segments = tuple(_open_segment(disk, base, manifest, options) for base in bases)
    last, epoch = manifest.first - 1, 0
    if segments:
        last, epoch = _recover_active(disk, segments[-1], manifest, options)
    if last < manifest.floor:
        raise Corrupt(
            disk.path_of(segments[-1].name if segments else MANIFEST_NAME),
            segments[-1].end if segments else None,
            f"the log ends at offset {last}, but once reached {manifest.floor}",
        )
    return Recovered(manifest, segments, last, epoch)


def _manifest(disk: Disk, names: Sequence[str]) -> Manifest:
    path = disk.path_of(MANIFEST_NAME)
    try:
        return load_manifest(disk)
    except FileNotFoundError:
        if any(base_of(name) is not None for name in names):
            raise Corrupt(path, None, "the manifest is missing beside segments") from None
        raise LogMissing(f"no log in {disk.path_of('')}: is the disk mounted?") from None
    except Damaged as error:
        raise Corrupt(path, 0, str(error)) from None
    except NewerFormat as error:
        raise newer(path, error) from None


def _live_bases(disk: Disk, names: Sequence[str], manifest: Manifest) -> list[Offset]:
    """Return the bases of the segments that count; delete what an interrupted deletion left."""
    bases = [base for name in names if (base := base_of(name)) is not None]
    live = [
        base
        for base, stop in zip(bases, [*bases[1:], NO_STOP], strict=False)
        if not is_dead(base, stop, manifest)
    ]
    if live and live[0] > manifest.first:
        missing = disk.path_of(segment_name(manifest.first))
        raise Corrupt(missing, None, f"missing: the log starts at offset {manifest.first}")
    keep = {segment_name(base, end) for base in live for end in (INDEX_SUFFIX, TIME_INDEX_SUFFIX)}
    keep |= {segment_name(base) for base in live}
    for name in names:
        is_ours = name.endswith((INDEX_SUFFIX, TIME_INDEX_SUFFIX, TEMPORARY_SUFFIX))
        if name not in keep and (is_ours or base_of(name) is not None):
            _logger.info("%s: deleting what is no part of the log any more", disk.path_of(name))
            disk.remove(name)
    return live


def is_dead(base: Offset, stop: Offset, manifest: Manifest) -> bool:
    """Return whether a segment of these offsets was deleted, or should have been."""
    return base < stop <= manifest.gone.skip(base)


def _open_segment(disk: Disk, base: Offset, manifest: Manifest, options: LogOptions) -> Segment:
    path = disk.path_of(segment_name(base))
    with closing(disk.open_to_read(segment_name(base))) as file:
        try:
            head = decode_head(file.read(0, HEAD_SIZE))
            check_head(head, base, manifest.incarnation)
        except Damaged as error:
            raise Corrupt(path, 0, str(error)) from None
        except NewerFormat as error:
            raise newer(path, error) from None
        return Segment(head, cipher_for(head, options.keyring, path), file.size())


def check_head(head: SegmentHead, base: Offset, incarnation: UUID) -> None:
    """Raise Damaged for the head of another segment, or of another log."""
    if head.base != base:
        raise Damaged(f"the segment of offset {head.base} has the name of another")
    if head.incarnation != incarnation:
        raise Damaged(f"the segment belongs to another log ({head.incarnation})")


def _recover_active(
    disk: Disk, segment: Segment, manifest: Manifest, options: LogOptions
) -> tuple[Offset, int]:
    """Find the end of the active segment; return last offset and epoch of the log."""
    path = disk.path_of(segment.name)
    base, seed = segment.head.base, crc_seed(manifest.incarnation)
    with closing(disk.open(segment.name)) as file:
        data = file.read(0, file.size())
        found = walk(data, base, NO_STOP, seed=seed, gone=manifest.gone, position=HEAD_SIZE)
        if found.damage is not None:
            if was_promised(found, data, seed, manifest.floor):
                raise Corrupt(path, found.end, found.damage)
            _logger.warning(
                "%s: cut %d bytes at position %d that were in flight when the broker stopped (%s)",
                path, len(data.rstrip(b"\0")) - found.end, found.end, found.damage,
            )  # fmt: skip
        last = found.expected - 1
        if last != manifest.floor or found.damage is not None:
            rewrite = _first_doubtful(found)
            file.truncate(found.end)
            file.write(rewrite, data[rewrite : found.end])
            file.sync()
    segment.end = found.end
    segment.index = SegmentIndex(options.index_interval)
    for position, header in found.batches:
        segment.index.note(header.offset, position, header.timestamp_ms)
    epoch = found.batches[-1][1].epoch if found.batches else segment.head.epoch
    return last, max(epoch, segment.head.epoch)


def was_promised(found: Walk, data: bytes, seed: int, floor: Offset) -> bool:
    """Return whether the batch due at the damaged place is known to have been durable."""
    if floor >= found.expected:
        return True
    return any(
        header.offset > found.expected and header.durable_before > found.expected
        for _, header in batches_behind(data, found.end, seed)
    )


def _first_doubtful(found: Walk) -> int:
    """Return the position from where on the good batches may not be on the disk."""
    if not found.batches:
        return found.end
    durable_before = found.batches[-1][1].durable_before
    return next(
        (position for position, header in found.batches if header.offset >= durable_before),
        found.end,
    )
