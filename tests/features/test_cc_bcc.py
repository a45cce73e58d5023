"""Further routing keys in the CC and BCC headers (FEATURES A5.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.raw_client import RawClient


def keys(*names: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a header value that names these routing keys."""
    return "A", [("S", name) for name in names]


@pytest.fixture
def queues(client: RawClient, name: str) -> list[str]:
    """The names of three queues."""
    return [client.declare(f"{name}-{number}") for number in range(3)]


@pytest.mark.parametrize("exchange", ["", "amq.direct"])
def test_cc_and_bcc_are_further_keys(client: RawClient, queues: list[str], exchange: str) -> None:
    if exchange:
        for queue in queues:
            client.bind(queue, exchange, queue)
    header = properties(headers={"CC": keys(queues[1]), "BCC": keys(queues[2])})
    client.publish(queues[0], b"one", exchange=exchange, header=header)
    assert [client.get_all(queue) for queue in queues] == [[b"one"]] * 3


def test_cc_stays_and_bcc_is_taken_out(client: RawClient, queues: list[str]) -> None:
    headers: dict[str, tuple[str, Any]] = {
        "a": ("l", 1),
        "BCC": keys(queues[1]),
        "CC": keys(queues[2]),
        "z": ("d", 0.1),
    }
    client.publish(queues[0], b"one", header=properties(headers=headers, message_id="id"))
    del headers["BCC"]
    for queue in queues:
        message = client.get(queue)
        assert message is not None
        assert message.header == properties(headers=headers, message_id="id")


def test_every_copy_names_the_first_key(client: RawClient, queues: list[str]) -> None:
    client.publish(queues[0], b"one", header=properties(headers={"CC": keys(queues[1])}))
    message = client.get(queues[1])
    assert message is not None
    assert message.command["routing_key"] == queues[0]


def test_a_queue_gets_one_copy(client: RawClient, queues: list[str]) -> None:
    header = properties(headers={"CC": keys(queues[0], queues[0]), "BCC": keys(queues[0])})
    client.publish(queues[0], b"one", header=header)
    assert client.get_all(queues[0]) == [b"one"]


def test_topic_keys_are_matched_one_by_one(client: RawClient, queues: list[str]) -> None:
    unique = queues[0]
    client.bind(queues[1], "amq.topic", f"{unique}.red.*")
    client.bind(queues[2], "amq.topic", f"{unique}.*.large")
    header = properties(headers={"CC": keys(f"{unique}.red.small", f"{unique}.blue.large")})
    client.publish("nobody", b"one", exchange="amq.topic", header=header)
    assert [client.get_all(queue) for queue in queues] == [[], [b"one"], [b"one"]]


def test_a_message_routed_by_cc_alone_is_not_returned(client: RawClient, queues: list[str]) -> None:
    header = properties(headers={"CC": keys(queues[0])})
    client.publish("nobody", b"one", header=header, mandatory=True)
    assert client.is_quiet(queues[0])
    assert client.get_all(queues[0]) == [b"one"]


def test_an_unroutable_message_with_bcc_is_returned(client: RawClient, name: str) -> None:
    header = properties(headers={"BCC": keys(f"{name}-nobody")})
    client.publish(f"{name}-none", b"lost", header=header, mandatory=True)
    assert client.read_message(commands.Basic.Return).body == b"lost"


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize("value", [("S", "key"), ("I", 1)], ids=["longstr", "signedint"])
def test_anything_but_an_array_is_refused(
    client: RawClient,
    queues: list[str],
    header: str,
    value: tuple[str, Any],
) -> None:
    client.publish(queues[0], b"refused", header=properties(headers={header: value}))
    kind = {"S": "longstr", "I": "signedint"}[value[0]]
    reason = f'{{unacceptable_type_in_header,"{header}",{kind}}}'
    text = f"PRECONDITION_FAILED - invalid message: {reason}"
    client.expect_channel_error(406, text, (60, 40))
