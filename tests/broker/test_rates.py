"""Limits of messages and bytes a second: of a vhost, of a user, for all connections together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from amqpbroker.broker.quotas import MAX_PUBLISH_BYTES_RATE, MAX_PUBLISH_RATE
from amqpbroker.broker.rates import (
    BURST_S,
    READ_SIZE_MAX,
    READ_SIZE_MIN,
    WAIT_S_MAX,
    Bucket,
    read_size,
)

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from tests.broker.client import MemoryClient


def limit_user(broker: Broker, **limits: int) -> None:
    user = broker.users.users["guest"]
    named = {name.replace("_", "-"): value for name, value in limits.items()}
    broker.users.put_user(replace(user, limits=named))


def test_a_bucket_waits_until_its_debt_is_paid() -> None:
    bucket = Bucket(0.0)
    burst = int(100 * BURST_S)
    assert bucket.take(burst, 100, 0.0) == 0
    assert bucket.take(100, 100, 0.0) == pytest.approx(1.0)
    assert bucket.take(0, 100, 0.25) == pytest.approx(0.75)
    assert bucket.take(0, 100, 1.0) == pytest.approx(0.0)


def test_a_pause_earns_no_more_than_the_burst() -> None:
    bucket = Bucket(0.0)
    assert bucket.take(int(100 * BURST_S) + 100, 100, 1000.0) == pytest.approx(1.0)


def test_a_rate_of_zero_waits_for_ever() -> None:
    assert Bucket(0.0).take(1, 0, 0.0) == math.inf


def test_without_limits_there_is_nothing_to_wait_for(client: MemoryClient, broker: Broker) -> None:
    assert broker.rates.delay_s(client.session, 1_000_000, 1 << 30, 0.0) is None
    assert read_size(client.session) == READ_SIZE_MAX


def test_connections_of_a_vhost_share_its_limit(
    client: MemoryClient, other: MemoryClient, broker: Broker
) -> None:
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: 1000}
    assert broker.rates.delay_s(client.session, 700, 0, 0.0) == pytest.approx(0.2)
    assert broker.rates.delay_s(other.session, 100, 0, 0.0) == pytest.approx(0.3)


def test_the_limit_of_a_user_holds_beside_the_vhosts(client: MemoryClient, broker: Broker) -> None:
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: 1000}
    limit_user(broker, max_publish_bytes_rate=1000)
    assert broker.rates.delay_s(client.session, 1, 900, 0.0) == pytest.approx(0.4)


def test_a_negative_limit_is_none(client: MemoryClient, broker: Broker) -> None:
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: -1}
    assert broker.rates.delay_s(client.session, 10_000, 0, 0.0) is None


def test_no_wait_is_longer_than_it_takes_to_see_a_change(
    client: MemoryClient, broker: Broker
) -> None:
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: 0}
    assert broker.rates.delay_s(client.session, 1, 0, 0.0) == WAIT_S_MAX
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: 1000}
    assert broker.rates.delay_s(client.session, 0, 0, 1.0) == 0


def test_a_tiny_wait_is_none(client: MemoryClient, broker: Broker) -> None:
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: 1_000_000}
    assert broker.rates.delay_s(client.session, 500_001, 0, 0.0) == 0


def test_what_is_deleted_owes_nothing(client: MemoryClient, broker: Broker) -> None:
    broker.vhosts["/"].limits = {MAX_PUBLISH_RATE: 1}
    broker.rates.delay_s(client.session, 1000, 0, 0.0)
    broker.rates.forget("vhost", "/")
    assert broker.rates.delay_s(client.session, 0, 0, 0.0) == 0


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({MAX_PUBLISH_RATE: 1}, READ_SIZE_MIN),
        ({MAX_PUBLISH_RATE: 10_000}, 12_800),
        ({MAX_PUBLISH_BYTES_RATE: 1_000_000}, 20_000),
        ({MAX_PUBLISH_BYTES_RATE: 10_000_000_000}, READ_SIZE_MAX),
    ],
)
def test_the_lower_the_limit_the_less_is_read(
    client: MemoryClient, broker: Broker, limits: dict[str, int], size: int
) -> None:
    broker.vhosts["/"].limits = limits
    assert read_size(client.session) == size
