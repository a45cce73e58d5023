"""What goes wrong with the catalog, in words that say what to do.

::

    CatalogError            the change is not stored, or the catalog cannot be opened
    └── ChangeRefused       one change contradicts what is stored; the others of its group are fine
"""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

_ADVICE: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space there, then try again",
    sqlite3.SQLITE_READONLY: "it cannot be written: let the broker's user write the file and its"
    " directory, and see that the file system is not mounted read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that its directory exists and that the"
    " broker's user may read and write there",
    sqlite3.SQLITE_PERM: "access is denied: let the broker's user read and write the file",
    sqlite3.SQLITE_BUSY: "another process uses it: stop the other broker (or the tool) first",
    sqlite3.SQLITE_LOCKED: "another process uses it: stop the other broker (or the tool) first",
    sqlite3.SQLITE_CORRUPT: "it is damaged: put back a backup of the file, or move it away and"
    " import exported definitions",
    sqlite3.SQLITE_NOTADB: "it is damaged, or no catalog at all: put back a backup of the file, or"
    " move it away and import exported definitions",
    sqlite3.SQLITE_IOERR: "reading or writing failed: check the disk and the system's log",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}
"""Primary result code of SQLite → what is the matter and what to do."""

_CODES: Final[dict[int | None, int]] = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
    errno.ENOENT: sqlite3.SQLITE_CANTOPEN,
    errno.ENOTDIR: sqlite3.SQLITE_CANTOPEN,
    errno.EIO: sqlite3.SQLITE_IOERR,
}
"""Error number of the system → the code of SQLite that means the same."""

_PRIMARY_CODE_MASK: Final = 0xFF


class CatalogError(Exception):
    """The catalog did not do it; the text says why and what to do.

    A change that failed like this is not there, unless the machine loses power right afterwards:
    after a failed fsync nobody knows what is on the disk.
    """


class ChangeRefused(CatalogError):
    """A change contradicts what is stored: a name is taken, or something it needs is missing."""


def damaged(place: str, found: str) -> CatalogError:
    """Return what to raise for damage that a check of the file ``place`` found."""
    return CatalogError(f"catalog {place}: {_ADVICE[sqlite3.SQLITE_CORRUPT]} ({found.strip()})")


def explain(error: BaseException, place: str) -> CatalogError:
    """Return what to raise for an error of sqlite3, or of the system, at the file ``place``."""
    words, code = str(error), -1
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", code)  # absent where Python raised it
    elif isinstance(error, OSError):
        words = error.strerror or words
        code = _CODES.get(error.errno, code)
    advice = _ADVICE.get(code & _PRIMARY_CODE_MASK)
    return CatalogError(f"catalog {place}: {f'{advice} ({words})' if advice else words}")
