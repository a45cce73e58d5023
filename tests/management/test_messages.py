"""Publishing and fetching over HTTP (FEATURES A18.7, A18.8, T28)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.management.http_api import reason

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi
    from tests.raw_client import RawClient

PROPERTIES = {
    "timestamp": 123,
    "message_id": "m",
    "expiration": "100000",
    "priority": 3,
    "delivery_mode": 2,
    "headers": {"a": 1, "f": 1.5, "l": [1, "x"], "t": {"k": True}},
    "content_type": "text/plain",
}


def publish(api: HttpApi, exchange: str, **body: Any) -> Any:
    filled = {"routing_key": "", "payload": "x", "payload_encoding": "string", "properties": {}}
    return api("POST", f"/exchanges/{{v}}/{exchange}/publish", {**filled, **body})


def fetch(api: HttpApi, queue: str, ackmode: str = "ack_requeue_false", **body: Any) -> Any:
    filled = {"count": 10, "ackmode": ackmode, "encoding": "auto", **body}
    answer = api("POST", f"/queues/{{v}}/{queue}/get", filled)
    assert answer.status == 200, answer
    return answer.body


def payloads(messages: list[dict[str, Any]]) -> list[str]:
    return [message["payload"] for message in messages]


def test_a_message_keeps_its_properties(api: HttpApi, queue: str) -> None:
    api.publish(queue, "hello", **PROPERTIES)
    assert fetch(api, queue) == [
        {
            "exchange": "",
            "routing_key": queue,
            "redelivered": False,
            "message_count": 0,
            "payload": "hello",
            "payload_bytes": 5,
            "payload_encoding": "string",
            "properties": PROPERTIES,
        }
    ]


def test_no_properties_are_an_empty_list(api: HttpApi, queue: str) -> None:
    api.publish(queue, "x")
    assert fetch(api, queue)[0]["properties"] == []


def test_published_over_http_arrives_over_amqp(api: HttpApi, queue: str, client: RawClient) -> None:
    client.consume(queue, no_ack=True)
    api.publish(queue, "one", delivery_mode=2)
    assert client.delivers(1) == [b"one"]


def test_what_no_queue_takes_is_not_routed(api: HttpApi, name: str) -> None:
    answer = publish(api, "amq.default", routing_key=name)
    assert (answer.status, answer.body) == (200, {"routed": False})


@pytest.mark.parametrize("ackmode", ["ack_requeue_true", "reject_requeue_true"])
def test_requeue_modes_leave_the_messages_where_they_were(
    api: HttpApi, queue: str, ackmode: str, client: RawClient
) -> None:
    api.publish(queue, "one", "two", "three")
    first = fetch(api, queue, ackmode, count=2)
    assert payloads(first) == ["one", "two"]
    assert [item["redelivered"] for item in first] == [False, False]
    assert [item["message_count"] for item in first] == [2, 1]
    again = fetch(api, queue, ackmode)
    assert payloads(again) == ["one", "two", "three"]
    assert [item["redelivered"] for item in again] == [True, True, False]
    assert client.get_all(queue) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("ackmode", ["ack_requeue_false", "reject_requeue_false"])
def test_the_other_modes_remove_them(api: HttpApi, queue: str, ackmode: str) -> None:
    api.publish(queue, "one", "two")
    assert payloads(fetch(api, queue, ackmode, count=1)) == ["one"]
    assert payloads(fetch(api, queue, ackmode)) == ["two"]
    assert fetch(api, queue, ackmode) == []


def test_a_requeued_message_goes_on_to_a_consumer(
    api: HttpApi, queue: str, client: RawClient
) -> None:
    api.publish(queue, "one")
    fetch(api, queue, "ack_requeue_true")
    client.consume(queue)
    message = client.deliver()
    assert (message.body, dict(message.command)["redelivered"]) == (b"one", True)


def test_a_negative_count_means_all(api: HttpApi, queue: str) -> None:
    api.publish(queue, "one", "two")
    assert payloads(fetch(api, queue, count=-1)) == ["one", "two"]


def test_bytes_travel_as_base64(api: HttpApi, queue: str) -> None:
    publish(api, "amq.default", routing_key=queue, payload="aGkA/w==", payload_encoding="base64")
    shown = fetch(api, queue, "ack_requeue_true")[0]
    assert (shown["payload"], shown["payload_encoding"]) == ("aGkA/w==", "base64")
    shown = fetch(api, queue, truncate=3, encoding="base64")[0]
    assert (shown["payload"], shown["payload_bytes"]) == ("aGkA", 4)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"properties": {"delivery_mode": "x"}}, ["not_int", "delivery_mode"]),
        ({"payload": "aG", "payload_encoding": "base64"}, ["not_base64", "aG"]),
        (
            {"properties": {"expiration": "x"}},
            "406 PRECONDITION_FAILED - invalid expiration 'x': no_integer",
        ),
        (
            {"properties": {"user_id": "nobody"}},
            "406 PRECONDITION_FAILED - user_id property set to 'nobody' "
            "but authenticated user was 'guest'",
        ),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(
    api: HttpApi, body: dict[str, Any], text: object
) -> None:
    assert reason(publish(api, "amq.default", **body)) == (400, text)


@pytest.mark.deviates("RabbitMQ 3.10 answers 500")
def test_what_amqp_cannot_say_is_refused(api: HttpApi) -> None:
    assert publish(api, "amq.default", routing_key="k" * 256).status == 400
    assert publish(api, "amq.default", properties={"message_id": "m" * 256}).status == 400
    assert publish(api, "amq.default", properties={"priority": 256}).status == 400
    assert publish(api, "amq.default", payload_encoding="rot13").status == 400


def test_missing_fields_are_named(api: HttpApi, queue: str) -> None:
    answer = api("POST", "/exchanges/{v}/amq.default/publish", {"payload": "x"})
    assert answer.status == 400
    assert "{key_missing,routing_key}" in answer.body["reason"]
    answer = api("POST", f"/queues/{{v}}/{queue}/get", {"ackmode": "ack_requeue_true"})
    assert "{key_missing,count}" in answer.body["reason"]


def test_where_nothing_is(api: HttpApi, name: str) -> None:
    text = f"404 NOT_FOUND - no exchange '{name}' in vhost '{api.vhost}'"
    assert reason(publish(api, name)) == (400, text)
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    answer = api("POST", f"/queues/{{v}}/{name}/get", body)
    assert answer.status == 404
    text = f"NOT_FOUND - no queue '{name}' in vhost '{api.vhost}'"
    assert answer.body == {"error": "not_found", "reason": text}


def test_an_unknown_encoding_is_refused(api: HttpApi, queue: str) -> None:
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "x"}
    answer = api("POST", f"/queues/{{v}}/{queue}/get", body)
    assert reason(answer) == (400, "Unsupported encoding. Please use auto or base64.")


def test_an_exclusive_queue_is_its_owners(api: HttpApi, name: str, client: RawClient) -> None:
    client.declare(name, exclusive=True)
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    answer = api("POST", f"/queues/{{v}}/{name}/get", body)
    assert answer.status == 400
    assert answer.body["reason"].startswith("405 RESOURCE_LOCKED - cannot obtain exclusive")
