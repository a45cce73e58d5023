"""Where the blocking work of a log runs: in threads, or in place for simulations.

`ThreadExecutor` has one thread for all that changes files, fed through a queue and answering
through the event loop, which is several times cheaper than a pool (25 against 80 µs a call) and
keeps the order. Reading goes to anyio's pool of threads, so that it never waits for an fsync.

A job that was handed over runs to its end whatever happens to the task that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Protocol, TypeVar

from anyio import CancelScope, Event, to_thread
from anyio.lowlevel import cancel_shielded_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Executor(Protocol):
    """Runs blocking jobs for one log."""

    async def write(self, job: Callable[[], T]) -> T:
        """Run ``job`` after the jobs handed in before; return or raise what it does."""
        ...

    async def read(self, job: Callable[[], T]) -> T:
        """Run ``job`` whenever convenient; return or raise what it does."""
        ...

    def close(self) -> None:
        """Finish the jobs handed in, then stop."""
        ...


class InlineExecutor:
    """Runs everything at once in the calling task: deterministic, for disks in memory."""

    async def write(self, job: Callable[[], T]) -> T:
        """See `Executor.write`."""
        result = job()
        await cancel_shielded_checkpoint()
        return result

    async def read(self, job: Callable[[], T]) -> T:
        """See `Executor.read`."""
        result = job()
        await cancel_shielded_checkpoint()
        return result

    def close(self) -> None:
        """See `Executor.close`."""


class ThreadExecutor:
    """One writer thread, started when it is first needed; see the module."""

    def __init__(self, name: str = "log") -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._idle: tuple[Callable[[], float | None], ...] = ()

    def when_idle(self, idle: Callable[[], float | None]) -> None:
        """Call ``idle`` in the writer thread between jobs, and again after the seconds it says."""
        self._idle = (*self._idle, idle)

    def forget_idle(self, idle: Callable[[], float | None]) -> None:
        """Call ``idle`` no more; replaced as a whole, the thread may be going through it."""
        self._idle = tuple(other for other in self._idle if other != idle)

    async def write(self, job: Callable[[], T]) -> T:
        """See `Executor.write`."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name=f"{self._name} writer", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done = Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(job())
            except BaseException as error:
                errors.append(error)
            with suppress(RuntimeError):  # the loop is gone, nobody waits any more
                loop.call_soon_threadsafe(done.set)

        self._jobs.put(run)
        with CancelScope(shield=True):
            await done.wait()
        if errors:
            raise errors.pop()
        return results.pop()

    async def read(self, job: Callable[[], T]) -> T:
        """See `Executor.read`."""
        return await to_thread.run_sync(job)

    def close(self) -> None:
        """See `Executor.close`."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            try:
                waits = [wait for idle in self._idle if (wait := idle()) is not None]
                job = self._jobs.get(timeout=min(waits, default=None))
            except Empty:
                continue
            if job is None:
                return
            job()


class SharedExecutor:
    """A log's share of a thread that serves many logs, so that their number costs no threads."""

    def __init__(self, thread: ThreadExecutor) -> None:
        self._thread = thread
        self._idle: Callable[[], float | None] | None = None

    def when_idle(self, idle: Callable[[], float | None]) -> None:
        """See `ThreadExecutor.when_idle`; once."""
        self._idle = idle
        self._thread.when_idle(idle)

    async def write(self, job: Callable[[], T]) -> T:
        """See `Executor.write`."""
        return await self._thread.write(job)

    async def read(self, job: Callable[[], T]) -> T:
        """See `Executor.read`."""
        return await self._thread.read(job)

    def close(self) -> None:
        """Let go of the thread, which goes on."""
        if self._idle is not None:
            self._thread.forget_idle(self._idle)
