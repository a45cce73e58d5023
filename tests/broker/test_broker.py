"""What all connections share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.broker.client import connect, make_broker

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from tests.broker.client import MemoryClient


def test_a_new_broker_has_a_vhost_and_a_user_for_it() -> None:
    broker = make_broker(default_user="ann", default_vhost="home")
    assert list(broker.vhosts) == ["home"]
    assert list(broker.users.users) == ["ann"]


def test_a_flush_wakes_everybody_who_got_something_once(
    client: MemoryClient, other: MemoryClient, broker: Broker
) -> None:
    idle = connect(broker)
    woken: list[str] = []
    for name, one in (("client", client), ("other", other), ("idle", idle)):
        one.session.wake = lambda name=name: woken.append(name)  # type: ignore[misc]
    other.session.touch()
    client.session.touch()
    client.session.touch()
    broker.flush()
    assert woken == ["other", "client"]
    broker.flush()
    assert len(woken) == 2


def test_brokers_share_nothing() -> None:
    one, another = make_broker(), make_broker()
    connect(one).declare("q")
    assert "q" in one.vhosts["/"].queues
    assert not another.vhosts["/"].queues


def test_a_change_of_permissions_voids_all_routes() -> None:
    broker = make_broker()
    epoch = broker.vhosts["/"].epoch
    broker.permissions_changed()
    assert broker.vhosts["/"].epoch is not epoch
