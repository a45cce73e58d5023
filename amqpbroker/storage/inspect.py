"""Looking at a log that nobody has open, and mending it: `amqpbroker log verify|repair|dump`.

`verify` reads everything and changes nothing. It needs no key: the checksums are over what is
stored, sealed or not.

`repair` gives up what is damaged, and only that. Sound batches of a damaged segment are kept at
their offsets; the offsets that are lost are noted as gone in the manifest, so that reading
goes past them and they are never given out again. A damaged file is first copied to
``<name>.damaged``. Every step can be interrupted and done again.

`dump` shows the batches, decrypted if the key is given.
"""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from amqpbroker.storage.batch import FLAG_SEALED, Damaged, Header, crc_seed, decode
from amqpbroker.storage.log import Batch, LogMissing, Offset
from amqpbroker.storage.manifest import (
    MANIFEST_NAME,
    Manifest,
    NewerFormat,
    load_manifest,
    store_manifest,
)
from amqpbroker.storage.ranges import Ranges
from amqpbroker.storage.recovery import (
    NO_STOP,
    check_head,
    cipher_for,
    is_dead,
    newer,
    unavailable,
    was_promised,
)
from amqpbroker.storage.segment import (
    HEAD_SIZE,
    INDEX_SUFFIX,
    TIME_INDEX_SUFFIX,
    SegmentHead,
    base_of,
    batches_behind,
    decode_head,
    segment_name,
    walk,
)
from amqpbroker.storage.segment_files import create_segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.storage.disk import Disk
    from amqpbroker.storage.encryption import Keyring

DAMAGED_SUFFIX: Final = ".damaged"

Found: TypeAlias = list[tuple[int, Header]]
"""Positions and headers of sound batches, offsets rising."""


class Problem(NamedTuple):
    """One thing that is wrong; ``position`` None: with the file as a whole."""

    path: str
    position: int | None
    reason: str


class SegmentReport(NamedTuple):
    """What one segment file holds. ``size`` in bytes; ``key_id`` 0: not encrypted.

    ``torn`` is the reason why the end will be cut when the log is opened: harmless, a batch that
    nobody was promised. ``problem`` is not.
    """

    name: str
    first: Offset
    last: Offset
    batches: int
    records: int
    size: int
    key_id: int
    torn: str | None
    problem: Problem | None


class LogReport(NamedTuple):
    """What `verify` found."""

    manifest: Manifest | None
    last: Offset
    segments: list[SegmentReport]
    problems: list[Problem]

    @property
    def is_sound(self) -> bool:
        """Whether the log opens, and every batch can be read."""
        return not self.problems


class _Scan(NamedTuple):
    """One segment file, read whole."""

    base: Offset
    stop: Offset
    data: bytes
    head: SegmentHead | None
    found: Found
    expected: Offset
    torn: str | None
    problem: Problem | None


def verify(disk: Disk) -> LogReport:
    """Read the whole log. Raises LogMissing, LogUnavailable; damage is in the report."""
    try:
        manifest, problems = _manifest(disk)
        scans = list(_scans(disk, manifest))
    except OSError as error:
        raise unavailable(disk.path_of(""), error) from error
    known = None if problems else manifest
    problems += [scan.problem for scan in scans if scan.problem]
    start = manifest.first
    last = max(start - 1, *(scan.expected - 1 for scan in scans[-1:]), -1)
    if scans and scans[0].base > start:
        problems.append(_missing(disk, start, scans[0].base - 1))
    if last < manifest.floor and not (scans and scans[-1].problem):
        problems.append(_missing(disk, last + 1, manifest.floor))
    return LogReport(known, last, [*map(_report, scans)], problems)


def repair(disk: Disk) -> list[str]:
    """Mend the log; return what was done, for humans; [] if there was nothing to do.

    Raises LogMissing, LogUnavailable (open elsewhere, newer format, no space …).
    """
    try:
        disk.lock()
        try:
            return list(_repair(disk))
        finally:
            disk.unlock()
    except OSError as error:
        raise unavailable(disk.path_of(""), error) from error


def dump(
    disk: Disk, start: Offset = 0, stop: Offset = NO_STOP, *, keyring: Keyring | None = None
) -> Iterator[tuple[str, int, Batch] | Problem]:
    """Yield path, position and batch for ``start`` ≤ offset < ``stop``, and what is damaged.

    Raises LogMissing, LogUnavailable (the key is missing or wrong), OSError.
    """
    manifest, problems = _manifest(disk)
    yield from problems
    seed = crc_seed(manifest.incarnation)
    for scan in _scans(disk, manifest, start, stop):
        path = disk.path_of(segment_name(scan.base))
        cipher = cipher_for(scan.head, keyring, path) if scan.head else None
        for position, header in scan.found:
            if start <= header.offset < stop:
                yield path, position, decode(header, scan.data, position, seed, cipher)
        if scan.problem:
            yield scan.problem


def describe(batch: Batch, *, preview_size: int = 40) -> str:
    """Return a line for a batch, and one for each of its records."""
    head = f"offset {batch.offset} epoch {batch.epoch} time {batch.timestamp_ms}"
    if batch.owner is not None:
        return f"{head} fenced by {batch.owner!r}"
    lines = [f"{head} records {len(batch.records)}"]
    for number, record in enumerate(batch.records):
        more = "…" if len(record) > preview_size else ""
        lines.append(f"  {number}: {len(record)} bytes {record[:preview_size]!r}{more}")
    return "\n".join(lines)


def _manifest(disk: Disk) -> tuple[Manifest, list[Problem]]:
    """Return the manifest, or a makeshift one with the problem of the real one."""
    path = disk.path_of(MANIFEST_NAME)
    try:
        return load_manifest(disk), []
    except NewerFormat as error:
        raise newer(path, error) from None
    except Damaged as error:
        problem = Problem(path, 0, str(error))
    except FileNotFoundError:
        problem = Problem(path, None, "the manifest is missing")
    return _makeshift_manifest(disk), [problem]


def _makeshift_manifest(disk: Disk) -> Manifest:
    """Return what the segments let one conclude: the incarnation of the last sound one."""
    bases = _bases(disk)
    for base in reversed(bases):
        head = _head(disk, base)
        if head is not None:
            return Manifest(head.incarnation, gone=Ranges([range(bases[0])]))
    raise LogMissing(f"no log in {disk.path_of('')}: is the disk mounted?")


def _bases(disk: Disk) -> list[Offset]:
    return [base for name in disk.names() if (base := base_of(name)) is not None]


def _missing(disk: Disk, first: Offset, last: Offset) -> Problem:
    path = disk.path_of(segment_name(first))
    return Problem(path, None, f"offsets {first} to {last} are missing")


def _read(disk: Disk, name: str) -> bytes:
    with closing(disk.open_to_read(name)) as file:
        return file.read(0, file.size())


def _head(disk: Disk, base: Offset) -> SegmentHead | None:
    with closing(disk.open_to_read(segment_name(base))) as file:
        try:
            return decode_head(file.read(0, HEAD_SIZE))
        except Damaged:
            return None
        except NewerFormat as error:
            raise newer(disk.path_of(segment_name(base)), error) from None


def _scans(
    disk: Disk, manifest: Manifest, start: Offset = 0, stop: Offset = NO_STOP
) -> Iterator[_Scan]:
    """Read the live segments that hold offsets between ``start`` and ``stop``."""
    bases = _bases(disk)
    for base, end in zip(bases, [*bases[1:], NO_STOP], strict=False):
        if not is_dead(base, end, manifest) and base < stop and end > start:
            yield _scan(disk, base, end, manifest)


def _scan(disk: Disk, base: Offset, stop: Offset, manifest: Manifest) -> _Scan:
    path = disk.path_of(segment_name(base))
    data = _read(disk, segment_name(base))
    gone, seed = manifest.gone, crc_seed(manifest.incarnation)
    head = None
    problem = torn = None
    try:
        head = decode_head(data)
        check_head(head, base, manifest.incarnation)
    except NewerFormat as error:
        raise newer(path, error) from None
    except Damaged as error:
        problem = Problem(path, 0, str(error))
    found = walk(data, base, stop, seed=seed, gone=gone, position=HEAD_SIZE)
    if problem is None and stop != NO_STOP and found.expected < stop:
        reason = found.damage or f"ends before offset {found.expected}, {stop - 1} was its last"
        problem = Problem(path, found.end, reason)
    elif problem is None and found.damage is not None and stop == NO_STOP:
        if was_promised(found, data, seed, manifest.floor):
            problem = Problem(path, found.end, found.damage)
        else:
            torn = found.damage
    return _Scan(base, stop, data, head, found.batches, found.expected, torn, problem)


def _report(scan: _Scan) -> SegmentReport:
    headers = [header for _, header in scan.found]
    return SegmentReport(
        segment_name(scan.base),
        scan.base,
        headers[-1].offset if headers else scan.base - 1,
        len(headers),
        sum(header.record_count for header in headers),
        len(scan.data),
        scan.head.key_id if scan.head else 0,
        scan.torn,
        scan.problem,
    )


def _repair(disk: Disk) -> Iterator[str]:
    manifest, problems = _manifest(disk)
    if problems:
        store_manifest(disk, manifest)
        yield f"{problems[0].path}: {problems[0].reason}: written anew from the segments"
    due = manifest.first
    for scan in list(_scans(disk, manifest)):
        if scan.base > manifest.gone.skip(due):
            manifest, lost = _give_up(disk, manifest, due, scan.base, [])
            yield lost
        due = scan.stop
        if scan.problem is not None:
            yield f"{scan.problem.path}: {scan.problem.reason}"
            found = _survivors(scan, manifest)
            stop = scan.stop
            if stop == NO_STOP:
                stop = max(manifest.floor, *(header.offset for _, header in found), -1) + 1
            manifest, lost = _give_up(disk, manifest, scan.base, stop, found)
            yield lost
            yield _replace(disk, scan, found, manifest)
            due = stop
        elif scan.stop == NO_STOP:
            due = scan.expected
    if manifest.floor >= manifest.gone.skip(due):
        manifest, lost = _give_up(disk, manifest, due, manifest.floor + 1, [])
        yield lost


def _survivors(scan: _Scan, manifest: Manifest) -> Found:
    """Return the sound batches of a damaged segment, those behind the damage too."""
    found = list(scan.found)
    end = found[-1][0] + found[-1][1].total_size if found else HEAD_SIZE
    due, epoch = scan.base, 0
    if found:
        due, epoch = found[-1][1].offset + 1, found[-1][1].epoch
    for position, header in batches_behind(scan.data, end - 1, crc_seed(manifest.incarnation)):
        if due <= header.offset < scan.stop and header.epoch >= epoch:
            found.append((position, header))
            due, epoch = header.offset + 1, header.epoch
    is_sealed = any(header.flags & FLAG_SEALED for _, header in found)
    if scan.head is None and is_sealed:
        return []  # the salt was in the head: no key opens them any more
    return found


def _give_up(
    disk: Disk, manifest: Manifest, start: Offset, stop: Offset, found: Found
) -> tuple[Manifest, str]:
    """Note as gone what is not in ``found``; return the new manifest and a line about it."""
    kept = {header.offset for _, header in found}
    edges = [start - 1, *sorted(kept), stop]
    gaps = [range(low + 1, high) for low, high in pairwise(edges)]
    lost = [gap for gap in gaps if gap and not manifest.gone.covers(gap.start, gap.stop)]
    manifest = manifest._replace(gone=Ranges([*manifest.gone, *lost]))
    store_manifest(disk, manifest)
    shown = ", ".join(f"{gap.start} to {gap.stop - 1}" for gap in lost) or "none"
    return manifest, f"given up: offsets {shown}"


def _replace(disk: Disk, scan: _Scan, found: Found, manifest: Manifest) -> str:
    """Put a segment of the survivors in the place of a damaged one, which is kept as a copy."""
    name = segment_name(scan.base)
    copy = disk.create(name + DAMAGED_SUFFIX)
    try:
        copy.write(0, scan.data)
        copy.sync()
    finally:
        copy.close()
    for suffix in (INDEX_SUFFIX, TIME_INDEX_SUFFIX):
        disk.remove(segment_name(scan.base, suffix))
    if is_dead(scan.base, scan.stop, manifest):
        disk.remove(name)
        disk.sync_names()
        return f"{disk.path_of(name)}: nothing to keep; a copy is in {name}{DAMAGED_SUFFIX}"
    head = scan.head
    if head is None or head.base != scan.base or head.incarnation != manifest.incarnation:
        epoch = found[0][1].epoch if found else 0
        head = SegmentHead(scan.base, epoch, 0, manifest.incarnation)
    batches = b"".join(
        scan.data[position : position + header.total_size] for position, header in found
    )
    create_segment(disk, head, batches, size=0).close()
    return f"{disk.path_of(name)}: kept {len(found)} batches; a copy is in {name}{DAMAGED_SUFFIX}"
