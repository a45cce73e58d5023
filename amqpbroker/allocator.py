"""Running on the C library's allocator, so that memory can be given back (see ``memory``).

Python's own allocator takes memory in arenas of 1 MiB and returns only whole empty ones; after
10,000 connections, a few hundred objects in free lists of the event loop keep most of them. The C
library gives back single pages. Which one is used is decided before Python starts, so the broker
replaces its process at the very beginning, before anything is imported.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE: Final = "PYTHONMALLOC"


def wanted_environment(
    arguments: Sequence[str], environment: Mapping[str, str], libc: str | None
) -> dict[str, str] | None:
    """Return the environment to start again with, None to stay.

    Only ``serve`` is worth it. A value that the operator has chosen stays, and only glibc
    (``libc`` as confstr(3) tells it) can give pages back.
    """
    if arguments[:1] != ["serve"] or VARIABLE in environment:
        return None
    if libc is None or not libc.startswith("glibc"):
        return None
    return {**environment, VARIABLE: "malloc"}


def use_c_allocator() -> None:
    """Start this command again on the C library's allocator, if that helps."""
    environment = wanted_environment(sys.argv[1:], os.environ, libc_version())
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def libc_version() -> str | None:
    """Return what the C library calls itself; None where it does not say."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, OSError, ValueError):
        return None
