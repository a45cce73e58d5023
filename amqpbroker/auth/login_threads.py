"""Threads for what makes a login take time: slow hashes, and the files of Kerberos.

They are few, and for this alone. Anybody can have a hash computed, so many at once must neither
take the memory of all of them nor the threads that read and write the broker's files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREAD_COUNT_MAX: Final = 4
"""At 16 MiB each for scrypt."""
_limiter: Final = RunVar[CapacityLimiter]("login threads")


async def run_in_login_thread(job: Callable[..., T], *arguments: object) -> T:
    """Return what ``job`` returns, or raise what it raises, once there is a thread for it."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(THREAD_COUNT_MAX)
        _limiter.set(limiter)
    outcome, error = await to_thread.run_sync(_outcome, job, arguments, limiter=limiter)
    if error is not None:
        try:
            raise error
        finally:
            del error
    return cast("T", outcome)


def _outcome(
    job: Callable[..., T], arguments: tuple[object, ...]
) -> tuple[T | None, Exception | None]:
    """Return what a job returns or raises.

    An error that goes through a thread stays in a reference cycle with the frame that waited for
    it, and holds the whole connection until the cycle collector comes.
    """
    try:
        return job(*arguments), None
    except Exception as error:
        return None, error.with_traceback(None)
