"""One batch on disk: bytes ↔ tuples, no I/O. All numbers are little-endian.

::

     0        4        8        12       16   17   18    20                28
    +--------+--------+--------+--------+----+----+-----+-----------------+
    | magic  | crc32c | size   | count  |kind|flag|  0  | offset          |
    +--------+--------+--------+--------+----+----+-----+-----------------+
     28               36                44              52
    +-----------------+-----------------+---------------+---------- - - -+
    | epoch           | durable_before  | timestamp_ms  | payload (size) |
    +-----------------+-----------------+---------------+---------- - - -+

    payload, kind 0 (records)                          payload, kind 1 (epoch)
    +-----------------+--------+--------+- - -+         +------------------+
    | count sizes u32 | rec 0  | rec 1  |     |         | owner, UTF-8     |
    +-----------------+--------+--------+- - -+         +------------------+

    flag bit 0: the payload is sealed
    +----------+- - - - - - - - - - - - - - - +--------+
    | nonce 12 | AES-256-GCM of the payload   | tag 16 |   associated data: bytes 8 to 52
    +----------+- - - - - - - - - - - - - - - +--------+

The sizes stand together so that a thousand records cost one ``unpack``, not a thousand.

``crc32c`` covers everything behind itself and starts from the CRC of the log's incarnation: a
batch of another log is no batch here, and a message body that holds the image of one (somebody
publishes a backup) cannot pass for one when the tail of a file is searched.

``durable_before``: every offset below it was on disk, synced, when this batch was written. So a
batch that follows a damaged place says whether that place was merely in flight or had been
promised (see `recovery`).
"""

from __future__ import annotations

import struct
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.log import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

MAGIC: Final = b"\xb5aqB"
HEADER: Final = struct.Struct("<4sIIIBBHQQQQ")
HEADER_SIZE: Final = HEADER.size
_BEHIND_CRC: Final = struct.Struct("<IIBBHQQQQ")
_CRC_END: Final = 8

KIND_RECORDS: Final = 0
KIND_EPOCH: Final = 1
_KINDS: Final = (KIND_RECORDS, KIND_EPOCH)
FLAG_SEALED: Final = 1

OWNER_SIZE_MAX: Final = 255
"""Bytes of UTF-8."""


class Damaged(ValueError):
    """These bytes are not a batch that was written here; the text says in what way."""


class Cipher(Protocol):
    """What seals the payloads of one segment (`encryption.SegmentCipher`)."""

    overhead: int

    def seal(self, payload: bytes, associated: bytes) -> bytes:
        """Return the sealed payload, ``overhead`` bytes longer."""
        ...

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Return the payload; raise Damaged where it was not sealed with this key and data."""
        ...


class Header(NamedTuple):
    """The fixed part of a batch, plausible but not verified."""

    crc: int
    size: int
    record_count: int
    kind: int
    flags: int
    offset: int
    epoch: int
    durable_before: int
    timestamp_ms: int

    @property
    def total_size(self) -> int:
        """Bytes of header and payload."""
        return HEADER_SIZE + self.size


def crc_seed(incarnation: UUID) -> int:
    """Return what the CRC of every batch of this log starts from."""
    return extend(0, incarnation.bytes)


def payload_of(records: Sequence[bytes]) -> bytes:
    """Return the payload of a batch of records."""
    sizes = struct.pack(f"<{len(records)}I", *map(len, records))
    return b"".join((sizes, *records))


def encode(
    batch: Batch, *, durable_before: int, seed: int, cipher: Cipher | None = None
) -> tuple[bytes, bytes]:
    """Return header and payload as they stand on disk."""
    if batch.owner is None:
        kind, payload = KIND_RECORDS, payload_of(batch.records)
    else:
        kind, payload = KIND_EPOCH, batch.owner.encode()
    flags = 0 if cipher is None else FLAG_SEALED
    size = len(payload) + (cipher.overhead if cipher else 0)
    behind = _BEHIND_CRC.pack(
        size, len(batch.records), kind, flags, 0,
        batch.offset, batch.epoch, durable_before, batch.timestamp_ms,
    )  # fmt: skip
    if cipher is not None:
        payload = cipher.seal(payload, behind)
    crc = extend(extend(seed, behind), payload)
    return MAGIC + crc.to_bytes(4, "little") + behind, payload


def decode_header(data: bytes, position: int) -> Header:
    """Return the header at ``position``; raise Damaged where none can be one."""
    if len(data) - position < HEADER_SIZE:
        raise Damaged("the file ends in the header of a batch")
    magic, crc, size, count, kind, flags, zero, *rest = HEADER.unpack_from(data, position)
    if magic != MAGIC:
        raise Damaged("no batch begins here")
    if kind not in _KINDS or flags & ~FLAG_SEALED or zero:
        raise Damaged(f"unknown kind of batch (kind {kind}, flags {flags})")
    return Header(crc, size, count, kind, flags, *rest)


def verify(header: Header, data: bytes, position: int, seed: int) -> int:
    """Return the position behind the sound batch at ``position``, or raise Damaged."""
    end = position + HEADER_SIZE + header.size
    if end > len(data):
        raise Damaged(f"the file ends in a batch of {header.total_size} bytes")
    if extend(seed, data[position + _CRC_END : end]) != header.crc:
        raise Damaged(f"wrong checksum on the batch of offset {header.offset}")
    return end


def decode(
    header: Header, data: bytes, position: int, seed: int, cipher: Cipher | None = None
) -> Batch:
    """Return the verified batch whose ``header`` was found at ``position``, or raise Damaged."""
    end = verify(header, data, position, seed)
    start = position + HEADER_SIZE
    if header.flags & FLAG_SEALED:
        if cipher is None:
            raise Damaged("an encrypted batch in a segment that is not encrypted")
        data = cipher.unseal(data[start:end], data[position + _CRC_END : start])
        start, end = 0, len(data)
    if header.kind == KIND_EPOCH:
        owner = data[start:end].decode(errors="replace")
        return Batch(header.offset, header.epoch, header.timestamp_ms, (), owner)
    records = _split(data, start, end, header.record_count)
    return Batch(header.offset, header.epoch, header.timestamp_ms, records)


def _split(data: bytes, start: int, end: int, count: int) -> list[bytes]:
    """Return the records of a payload; raise Damaged where sizes and bytes do not match."""
    first = start + 4 * count
    if first > end:
        raise Damaged(f"{count} records do not fit in {end - start} bytes")
    sizes = struct.unpack_from(f"<{count}I", data, start)
    edges = list(accumulate(sizes, initial=first))
    if edges[-1] != end:
        raise Damaged("the sizes of the records do not add up")
    return [data[low:high] for low, high in pairwise(edges)]
