"""What a publish must satisfy before it is routed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from amqpbroker.auth.users import Permissions, TopicPermissions
from amqpbroker.broker.names import REPLY_TO
from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


def refused(client: MemoryClient, key: str = "q", exchange: str = "", **values: Any) -> str:
    """Publish what must be refused; return the reason."""
    client.publish(key, b"x", exchange=exchange, header=properties(**values))
    close = client.read(commands.Channel.Close)
    assert (close.class_id, close.method_id) == (60, 40)
    client.send_command(commands.Channel.CloseOk())
    return f"{close.reply_code} {close.reply_text.partition(' - ')[2]}"


def test_a_missing_exchange(client: MemoryClient) -> None:
    assert refused(client, exchange="no") == "404 no exchange 'no' in vhost '/'"


def test_an_internal_exchange(client: MemoryClient) -> None:
    name = "amq.rabbitmq.trace"
    text = f"403 cannot publish to internal exchange '{name}' in vhost '/'"
    assert refused(client, exchange=name) == text


def test_immediate_is_not_implemented(client: MemoryClient) -> None:
    client.send_command(commands.Basic.Publish(routing_key="q", immediate=True))
    client.send(b"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c" + bytes(12) + b"\xce")
    client.expect_connection_error(540, "NOT_IMPLEMENTED - immediate=true", (60, 40))


@pytest.mark.parametrize(
    ("expiration", "wrong"),
    [
        ("", "no_integer"),
        ("soon", "no_integer"),
        ("1s", '{leftover_string,"s"}'),
        ("1.5", '{leftover_string,".5"}'),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
    ],
)
def test_an_expiration_that_is_no_time(client: MemoryClient, expiration: str, wrong: str) -> None:
    text = f"406 invalid expiration '{expiration}': {wrong}"
    assert refused(client, expiration=expiration) == text


@pytest.mark.parametrize("expiration", ["0", "+5", "315360000000"])
def test_an_expiration_that_is_a_time(client: MemoryClient, expiration: str) -> None:
    client.consume(client.declare("q"))
    client.publish("q", b"x", header=properties(expiration=expiration))
    assert client.messages() == [b"x"]


def test_somebody_elses_name(client: MemoryClient) -> None:
    text = "406 user_id property set to 'ann' but authenticated user was 'guest'"
    assert refused(client, user_id="ann") == text
    client.open_channel()
    client.publish(client.declare("q"), b"x", header=properties(user_id="guest"))
    assert len(client.queue("q").ready) == 1


def test_extra_keys_that_are_none(client: MemoryClient) -> None:
    text = '406 invalid message: {unacceptable_type_in_header,"CC",longstr}'
    assert refused(client, headers={"CC": ("S", b"q")}) == text


def test_a_request_without_a_reply_consumer(client: MemoryClient) -> None:
    assert refused(client, reply_to=REPLY_TO) == "406 fast reply consumer does not exist"


def test_permission_comes_before_existence(client: MemoryClient) -> None:
    client.broker.users.set_permissions("guest", "/", Permissions(".*", "^q$", ".*"))
    text = "403 write access to exchange 'no' in vhost '/' refused for user 'guest'"
    assert refused(client, exchange="no") == text


def test_topics_are_checked_key_by_key(client: MemoryClient) -> None:
    rights = TopicPermissions("^a", ".*")
    client.broker.users.set_topic_permissions("guest", "/", "amq.topic", rights)
    client.bind(client.declare("q"), "amq.topic", "#")
    client.publish("a.b", b"x", exchange="amq.topic")
    assert len(client.queue("q").ready) == 1
    text = "403 write access to topic 'b' in exchange 'amq.topic' in vhost '/' refused"
    assert refused(client, "b", "amq.topic").startswith(text)
    client.open_channel()
    headers = {"CC": ("A", (("S", b"b"),))}
    assert refused(client, "a", "amq.topic", headers=headers).startswith(text)


def test_a_batch_is_one_run(client: MemoryClient) -> None:
    client.consume(client.declare("q"))
    client.publish("q", b"1", b"2", b"3")
    assert client.channel().last_tag == 3
    assert client.messages() == [b"1", b"2", b"3"]


def test_what_was_allowed_is_not_remembered_where_it_was_not(client: MemoryClient) -> None:
    """A refused publish must not leave a route that the next one would use."""
    for _ in range(2):
        assert refused(client, exchange="no").startswith("404")
        client.open_channel()
