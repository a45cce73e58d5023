"""Queues over HTTP (FEATURES A18.4-A18.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.broker.murmur2 import partition_of
from tests.amqp_bytes import properties
from tests.management.http_api import quote, reason

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi
    from tests.raw_client import RawClient

at_once = pytest.mark.deviates("RabbitMQ's counts are up to five seconds old")


def test_put_makes_and_then_finds_a_queue(api: HttpApi, name: str) -> None:
    arguments = {"x-max-length": 5, "list": [1, "b", {"c": 1.5}], "flag": True}
    body = {"durable": True, "auto_delete": False, "arguments": arguments}
    assert api("PUT", f"/queues/{{v}}/{name}", body).status == 201
    assert api("PUT", f"/queues/{{v}}/{name}", body).status == 204
    shown = api.get(f"/queues/{{v}}/{name}")
    expected = {**body, "name": name, "vhost": api.vhost, "exclusive": False, "type": "classic"}
    assert {key: shown[key] for key in expected} == expected
    assert api("DELETE", f"/queues/{{v}}/{name}").status == 204


def test_a_queue_made_over_http_serves_amqp(api: HttpApi, queue: str, client: RawClient) -> None:
    client.publish(queue, b"one")
    assert client.get_all(queue) == [b"one"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"x", "not_json"),
        (b"[]", "not_json"),
        ({"durable": 1}, ["not_boolean", 1]),
        ({"auto_delete": "x"}, ["not_boolean", "x"]),
        ({"arguments": {"n": None}}, "null_not_allowed"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(
    api: HttpApi, name: str, body: object, text: object
) -> None:
    assert reason(api("PUT", f"/queues/{{v}}/{name}", body)) == (400, text)


def test_no_body_asks_for_the_defaults(api: HttpApi, name: str) -> None:
    assert api("PUT", f"/queues/{{v}}/{name}").status == 201
    assert api("PUT", f"/queues/{{v}}/{name}", {"arguments": []}).status == 204
    assert not api.get(f"/queues/{{v}}/{name}")["durable"]


def test_errors_are_those_of_amqp(api: HttpApi, queue: str) -> None:
    where = f"queue '{queue}' in vhost '{api.vhost}'"
    answer = api("PUT", f"/queues/{{v}}/{queue}", {"durable": True})
    text = f"inequivalent arg 'durable' for {where}: received 'true' but current is 'false'"
    assert reason(answer) == (400, text)
    wrong = {"arguments": {"x-max-length": "a"}}
    text = f"invalid arg 'x-max-length' for {where}x: \"expected integer, got longstr\""
    answer = api("PUT", f"/queues/{{v}}/{queue}x", wrong)
    assert reason(answer) == (400, text.replace(f"'{queue}'", f"'{queue}x'").replace("'x:", "':"))


def test_reserved_names_are_refused(api: HttpApi) -> None:
    answer = api("PUT", "/queues/{v}/amq.mine", {})
    assert answer.status == 401
    assert answer.body == {"error": "not_authorised", "reason": "Access refused."}


@pytest.mark.deviates("RabbitMQ takes the name, over HTTP only")
def test_a_name_over_255_bytes_is_refused(api: HttpApi) -> None:
    assert api("PUT", f"/queues/{{v}}/{'n' * 256}", {}).status == 400


def test_what_is_not_there_is_404(api: HttpApi, name: str) -> None:
    body = {"error": "Object Not Found", "reason": "Not Found"}
    for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", "/contents")):
        answer = api(method, f"/queues/{{v}}/{name}{path}")
        assert (answer.status, answer.body) == (404, body)


def test_a_slash_in_a_name_is_part_of_it(api: HttpApi, name: str) -> None:
    path = f"/queues/{{v}}/{quote(f'{name}/%2F a')}"
    assert api("PUT", path, {}).status == 201
    assert api.get(path)["name"] == f"{name}/%2F a"
    assert api("DELETE", path).status == 204


def test_conditional_delete(api: HttpApi, queue: str, client: RawClient) -> None:
    api.publish(queue, "one")
    where = f"queue '{queue}' in vhost '{api.vhost}'"
    answer = api("DELETE", f"/queues/{{v}}/{queue}?if-empty=true")
    assert reason(answer) == (400, f"{where} not empty")
    client.consume(queue)
    answer = api("DELETE", f"/queues/{{v}}/{queue}?if-unused=true")
    assert reason(answer) == (400, f"{where} in use")
    assert api("DELETE", f"/queues/{{v}}/{queue}").status == 204


def test_an_exclusive_queue_is_its_owners(api: HttpApi, name: str, client: RawClient) -> None:
    client.declare(name, exclusive=True)
    answer = api("DELETE", f"/queues/{{v}}/{name}")
    assert answer.status == 400
    assert answer.body["reason"].startswith("cannot obtain exclusive access to locked queue")


def test_purge(api: HttpApi, queue: str, client: RawClient) -> None:
    api.publish(queue, "one", "two")
    assert client.counts(queue) == (2, 0)
    assert api("DELETE", f"/queues/{{v}}/{queue}/contents").status == 204
    assert client.counts(queue) == (0, 0)


@at_once
def test_counts_are_those_of_amqp(api: HttpApi, queue: str, client: RawClient) -> None:
    client.publish(queue, b"one", b"two", b"three")
    client.get(queue, no_ack=False)
    client.consume(queue, no_ack=True)
    client.delivers(2)
    shown = api.get(f"/queues/{{v}}/{queue}")
    assert (shown["messages"], shown["messages_ready"]) == (1, 0)
    assert (shown["messages_unacknowledged"], shown["consumers"]) == (1, 1)
    assert len(shown["consumer_details"]) == 1
    assert (shown["message_bytes"], shown["message_bytes_ram"], shown["messages_ram"]) == (3, 3, 1)
    assert (shown["message_bytes_paged_out"], shown["messages_paged_out"]) == (0, 0)


@at_once
def test_an_exclusive_queue_names_its_owner(api: HttpApi, name: str, client: RawClient) -> None:
    client.declare(name, exclusive=True)
    shown = api.get(f"/queues/{{v}}/{name}")
    assert shown["exclusive"]
    names = [item["name"] for item in api.get("/vhosts/{v}/connections")]
    assert shown["owner_pid_details"]["name"] in names


def test_lists(api: HttpApi, queue: str) -> None:
    assert queue in [item["name"] for item in api.get("/queues/{v}")]
    assert queue in [item["name"] for item in api.get("/queues") if item["vhost"] == api.vhost]


def test_deleting_a_queue_tells_its_consumer(api: HttpApi, queue: str, client: RawClient) -> None:
    tag = client.consume(queue)
    assert api("DELETE", f"/queues/{{v}}/{queue}").status == 204
    frame = client.read_frame()
    assert frame.ids == (60, 30)
    assert tag.encode() in frame.payload


def test_a_quorum_queue_has_its_members(api: HttpApi, name: str) -> None:
    body = {"durable": True, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 2}}
    assert api("PUT", f"/queues/{{v}}/{name}", body).status == 201
    shown = api.get(f"/queues/{{v}}/{name}")
    assert (shown["type"], shown["arguments"]) == ("quorum", body["arguments"])
    assert shown["members"] == shown["online"] == [shown["leader"]]
    exported = api.get("/definitions/{v}")["queues"]
    (queue,) = [item for item in exported if item["name"] == name]
    assert queue["arguments"] == body["arguments"]
    assert api("DELETE", f"/queues/{{v}}/{name}").status == 204


@pytest.mark.deviates("RabbitMQ has no partitions")
def test_partitions_are_shown(api: HttpApi, client: RawClient, name: str) -> None:
    client.declare(name, {"x-partitions": ("I", 2)})
    for key in (b"0", b"1", b"2", b"3"):
        header = properties(headers={"x-partition-key": ("S", key)})
        client.publish(name, key, key, header=header)
    client.counts(name)
    before = api.get(f"/queues/{{v}}/{name}")["partitions"]
    counts = [0, 0]
    for key in (b"0", b"1", b"2", b"3"):
        counts[partition_of(key, 2)] += 2
    assert [row["messages_ready"] for row in before] == counts
    assert {(row["consumer_tag"], row["moving"]) for row in before} == {(None, False)}
    client.consume(name, tag="c")
    client.delivers(8)
    after = api.get(f"/queues/{{v}}/{name}")["partitions"]
    assert [row["messages_unacknowledged"] for row in after] == counts
    assert {row["consumer_tag"] for row in after} == {"c"}
    assert [row["partition"] for row in after] == [0, 1]
    assert all(row["channel"].endswith(" (1)") for row in after)


@pytest.mark.deviates("RabbitMQ before 4.3 has no retries")
def test_messages_that_wait_to_be_tried_again_are_counted(api: HttpApi, name: str) -> None:
    arguments = {"x-delayed-retry-min": 3_600_000}
    assert api("PUT", f"/queues/{{v}}/{name}", {"arguments": arguments}).status == 201
    api.publish(name, "1", "2")
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    assert api("POST", f"/queues/{{v}}/{name}/get", body).status == 200
    row = api.get(f"/queues/{{v}}/{name}")
    counts = {key: row[key] for key in ("messages", "messages_ready", "messages_delayed")}
    assert counts == {"messages": 2, "messages_ready": 1, "messages_delayed": 1}
    assert api("DELETE", f"/queues/{{v}}/{name}").status == 204
