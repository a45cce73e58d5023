"""The file ``manifest`` of a log: what its segments cannot say about themselves.

Three facts, as one line of JSON and a line with its CRC32C, so that a human can read them:

- ``incarnation``: which log this is; every segment repeats it;
- ``gone``: the offsets that were deleted, from the front or in the middle. Written *before* the
  segments are deleted, so that a crash between two deletions (which the disk may reorder) leaves
  no hole that looks like damage;
- ``floor``: the log once held this offset durably, so recovery must find it. It turns a deleted
  last segment, or damage in the last batch after a clean shutdown, from a silent loss into an
  error.

It is replaced whole: new file, sync, rename, sync of the directory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from amqpbroker.storage.batch import Damaged
from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.ranges import Ranges

if TYPE_CHECKING:
    from amqpbroker.storage.disk import Disk
    from amqpbroker.storage.log import Offset

MANIFEST_NAME: Final = "manifest"
FORMAT_VERSION: Final = 1
"""Of manifest, segments and batches together; raise it when any of them changes."""

TEMPORARY_SUFFIX: Final = ".tmp"
"""Of files that were not finished; recovery deletes them."""


class NewerFormat(Exception):
    """Written by a later version; the argument is its format version."""


class Manifest(NamedTuple):
    """See the module."""

    incarnation: UUID
    floor: Offset = -1
    gone: Ranges = Ranges()

    @property
    def first(self) -> Offset:
        """The lowest offset that is not gone."""
        return self.gone.skip(0)

    @property
    def dropped(self) -> list[range]:
        """What is gone above `first`."""
        return [item for item in self.gone if item.start > 0]


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the content of the file."""
    text = json.dumps(
        {
            "format": FORMAT_VERSION,
            "incarnation": str(manifest.incarnation),
            "floor": manifest.floor,
            "gone": [[item.start, item.stop] for item in manifest.gone],
        }
    ).encode()
    return b"%s\n%08x\n" % (text, extend(0, text))


def decode_manifest(data: bytes) -> Manifest:
    """Return what `encode_manifest` was given; raise Damaged or NewerFormat."""
    text, _, crc = data.partition(b"\n")
    if crc != b"%08x\n" % extend(0, text):
        raise Damaged("wrong checksum on the manifest")
    content: dict[str, Any] = json.loads(text)
    if content["format"] > FORMAT_VERSION:
        raise NewerFormat(content["format"])
    gone = Ranges(range(start, stop) for start, stop in content["gone"])
    return Manifest(UUID(content["incarnation"]), content["floor"], gone)


def load_manifest(disk: Disk) -> Manifest:
    """Read the manifest. Raises FileNotFoundError, OSError, Damaged, NewerFormat."""
    file = disk.open_to_read(MANIFEST_NAME)
    try:
        return decode_manifest(file.read(0, file.size()))
    finally:
        file.close()


def store_manifest(disk: Disk, manifest: Manifest) -> None:
    """Replace the manifest durably. After an OSError the old or the new one may stand."""
    replace_file(disk, MANIFEST_NAME, encode_manifest(manifest))


def replace_file(disk: Disk, name: str, data: bytes) -> None:
    """Put a small file in place whole or not at all, durably."""
    temporary = name + TEMPORARY_SUFFIX
    file = disk.create(temporary)
    try:
        file.write(0, data)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, name)
    disk.sync_names()
