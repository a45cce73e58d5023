"""Too many clients, or too few file descriptors: some are turned away, and nothing ends."""

from __future__ import annotations

import errno
import resource
import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from amqpbroker import gate as gate_module
from amqpbroker.config import Config
from amqpbroker.gate import (
    RESERVED_COUNT,
    Gate,
    GatedListener,
    connection_count_max,
    raise_descriptor_limit,
)
from tests.helpers import DEADLINE_S, RunningBroker, start_broker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft and the hard limit of descriptors, as the system would tell and be told them."""
    told = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(told))
    monkeypatch.setattr(
        resource, "setrlimit", lambda _, pair: told.__setitem__(slice(None), list(pair))
    )
    return told


def test_the_limit_is_raised_as_far_as_it_goes(limits: list[int]) -> None:
    raise_descriptor_limit()
    assert limits == [4096, 4096]
    limits[:] = [1024, resource.RLIM_INFINITY]
    raise_descriptor_limit()
    assert limits[0] == gate_module.DESCRIPTOR_COUNT_MAX
    limits[:] = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
    raise_descriptor_limit()
    assert limits[0] == resource.RLIM_INFINITY


def test_some_descriptors_are_for_no_client(limits: list[int]) -> None:
    limits[0] = 10_000
    assert connection_count_max(Config(is_memory=True)) == 10_000 - RESERVED_COUNT
    assert connection_count_max(Config(is_memory=True, connection_max=5)) == 5
    assert connection_count_max(Config(is_memory=True, connection_max=99_999)) == 9488
    limits[0] = 64
    assert connection_count_max(Config(is_memory=True)) == 32


async def test_one_line_for_many_who_are_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(1)
    assert gate.enter()
    assert not any(gate.enter() for _ in range(100))
    assert len(caplog.records) == 1
    gate.leave()
    assert gate.enter()


class Short:
    """A listener that has no descriptors twice, and then fails for good."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    async def serve(self, handler: Callable[[Any], Any], task_group: Any = None) -> None:
        if self.codes:
            async with anyio.create_task_group():
                raise OSError(self.codes.pop(0), "")


async def test_a_lack_of_descriptors_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "RETRY_S", 0)
    short = Short(errno.EMFILE, errno.ENFILE)
    await GatedListener(short, Gate(1)).serve(lambda stream: None)  # type: ignore[arg-type]
    assert not short.codes


async def test_any_other_failure_is_one() -> None:
    short = Short(errno.EBADF)
    with pytest.raises(BaseExceptionGroup):
        await GatedListener(short, Gate(1)).serve(lambda stream: None)  # type: ignore[arg-type]


def is_served(broker: RunningBroker) -> bool:
    with closing(RawClient(broker)) as client:
        try:
            client.login()
        except (EOFError, OSError):
            return False
        return True


def test_who_is_one_too_many_is_hung_up_on() -> None:
    with start_broker(connection_max=2) as broker, ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((broker.host, broker.port), DEADLINE_S))
            for _ in range(2)
        ]
        assert not is_served(broker)
        for client in silent:
            client.close()
        while not is_served(broker):
            pass
