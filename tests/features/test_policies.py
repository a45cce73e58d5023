"""Policies set over HTTP and felt by pika, on what is there already (FEATURES A13, S12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.features.clients import pika
from tests.features.restarts import Restarts, get_all
from tests.management.http_api import HttpApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.helpers import RunningBroker


@pytest.fixture
def put(broker: RunningBroker, name: str) -> Iterator[Any]:
    """Set the policy of this test for names that begin with its own."""
    api = HttpApi(broker.host, broker.management_port, broker.vhost)
    path = f"/policies/{{v}}/{name}"

    def put(**settings: object) -> None:
        definition = {key.replace("_", "-"): value for key, value in settings.items()}
        answer = api("PUT", path, {"pattern": f"^{name}", "definition": definition})
        assert answer.status in (201, 204), answer

    yield put
    assert api("DELETE", path).status == 204


@pytest.fixture
def channel(pika_connect: Callable[[], Any]) -> Any:
    """A channel of pika in confirm mode."""
    channel = pika_connect().channel()
    channel.confirm_delivery()
    return channel


def taken(channel: Any, queue: str) -> list[bytes]:
    """Take all messages of a queue."""
    bodies = []
    while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
        bodies.append(body)
    return bodies


def publish(channel: Any, queue: str, *bodies: bytes) -> None:
    for body in bodies:
        channel.basic_publish("", queue, body)


def test_the_surplus_of_an_existing_queue_is_dead_lettered(
    channel: Any, put: Any, name: str
) -> None:
    channel.queue_declare(name)
    grave = channel.queue_declare("", exclusive=True).method.queue
    publish(channel, name, b"1", b"2", b"3")
    put(max_length=1, dead_letter_exchange="", dead_letter_routing_key=grave)
    assert (taken(channel, name), taken(channel, grave)) == ([b"3"], [b"1", b"2"])
    publish(channel, name, b"4", b"5")
    assert (taken(channel, name), taken(channel, grave)) == ([b"5"], [b"4"])


def test_an_existing_queue_begins_to_refuse(channel: Any, put: Any, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    put(max_length=2, overflow="reject-publish")
    with pytest.raises(pika.exceptions.NackError):
        publish(channel, name, b"3")
    put(max_length=3, overflow="reject-publish")
    publish(channel, name, b"3")


def test_the_lower_limit_is_in_force_and_the_argument_for_overflow(
    channel: Any, put: Any, name: str
) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 3, "x-overflow": "reject-publish"})
    put(max_length=1, overflow="drop-head")
    publish(channel, name, b"1")
    with pytest.raises(pika.exceptions.NackError):
        publish(channel, name, b"2")
    put(max_length=9)
    publish(channel, name, b"2", b"3")
    with pytest.raises(pika.exceptions.NackError):
        publish(channel, name, b"4")


def test_a_time_to_live_of_nothing(channel: Any, put: Any, name: str) -> None:
    channel.queue_declare(name)
    put(message_ttl=0)
    publish(channel, name, b"1")
    assert taken(channel, name) == []


def test_an_alternate_exchange_for_an_existing_exchange(channel: Any, put: Any, name: str) -> None:
    channel.exchange_declare(f"{name}-x", "direct", auto_delete=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.exchange_declare(f"alternate-{name}", "fanout")
    channel.queue_bind(queue, f"alternate-{name}")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish(f"{name}-x", "k", b"1", mandatory=True)
    put(alternate_exchange=f"alternate-{name}")
    channel.basic_publish(f"{name}-x", "k", b"2", mandatory=True)
    assert taken(channel, queue) == [b"2"]


def test_a_redeclare_compares_arguments_alone(channel: Any, put: Any, name: str) -> None:
    channel.queue_declare(name)
    put(max_length=1)
    channel.queue_declare(name)


@pytest.mark.parametrize("kind", ["policies", "operator-policies"])
def test_policies_survive_a_kill(tmp_path: Path, kind: str) -> None:
    broker = Restarts(tmp_path)
    broker.has_management = True
    try:
        broker.start().declare("q", durable=True)
        path = f"/{kind}/%2F/p"
        body = {"pattern": "^q", "definition": {"max-length": 1}, "priority": 1.5}
        assert broker.api("PUT", path, body).status == 201
        assert broker.api("PUT", "/global-parameters/a", {"value": [1]}).status == 201
        broker.kill()
        client = broker.start()
        assert broker.api.get("/global-parameters/a")["value"] == [1]
        assert broker.api.get(path) == {"vhost": "/", "name": "p", "apply-to": "all", **body}
        client.publish("q", b"1")
        client.publish("q", b"2")
        assert [message.body for message in get_all(client, "q")] == [b"2"]
        assert broker.api("DELETE", path).status == 204
        broker.kill()
        broker.start()
        assert broker.api.get(f"/{kind}") == []
    finally:
        broker.close()
