"""Clients that have gone are freed at once: the server spares the cycle collector."""

from __future__ import annotations

from amqpbroker.broker.session import Session
from tests.cycles import left_to_the_collector
from tests.test_server import serve


def test_a_client_that_is_gone_leaves_nothing_to_the_cycle_collector() -> None:
    with serve() as running:
        running.connect().close()
        running.wait_until_all_are_gone()
        with left_to_the_collector(Session) as left:
            client = running.connect()
            client.declare("q")
            client.close()
            running.wait_until_all_are_gone()
            running.call(int)  # what ends with the connection is through
        assert not left
