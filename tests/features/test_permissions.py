"""Permissions on exchanges, queues and topics (FEATURES A5.7, A8.13, A8.14, A3.11, A9.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties
from tests.conftest import EXTERNAL_URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.features.conftest import Connect
    from tests.helpers import Management, RunningBroker
    from tests.raw_client import RawClient

DECLARE, BIND, CONSUME, PUBLISH, GET = (50, 10), (50, 20), (60, 20), (60, 40), (60, 70)


@pytest.fixture
def management(broker: RunningBroker) -> Management:
    return broker.management


@pytest.fixture
def limited(dial: Connect, management: Management, name: str) -> Iterator[RawClient]:
    """A client of a user who may use only what begins with ``mine-``."""
    client = dial()
    vhost = client.vhost.replace("/", "%2F")
    management.request("PUT", f"/users/{name}", {"password": name, "tags": ""})
    only = dict.fromkeys(("configure", "write", "read"), "^mine-")
    management.request("PUT", f"/permissions/{vhost}/{name}", only)
    client.login(name)
    client.tune_ok()
    client.open()
    client.open_channel()
    yield client
    management.request("DELETE", f"/users/{name}")


def refused(access: str, where: str, user: str) -> str:
    """Return the text of a refusal; RabbitMQ 3.10 does not yet name the kind of access."""
    named = "" if EXTERNAL_URL else f"{access} "
    return f"ACCESS_REFUSED - {named}access to {where} refused for user '{user}'"


@pytest.mark.parametrize(
    ("command", "ids", "access"),
    [
        (commands.Queue.Declare(), DECLARE, "configure"),
        (commands.Queue.Delete(), (50, 40), "configure"),
        (commands.Queue.Bind(exchange="amq.direct", routing_key="k"), BIND, "write"),
        (commands.Queue.Unbind(exchange="amq.direct", routing_key="k"), (50, 50), "write"),
        (commands.Queue.Purge(), (50, 30), "read"),
        (commands.Basic.Consume(), CONSUME, "read"),
        (commands.Basic.Get(), GET, "read"),
    ],
    ids=["declare", "delete", "bind", "unbind", "purge", "consume", "get"],
)
def test_a_queue_without_permission_is_refused(
    client: RawClient, limited: RawClient, queue: str, *, command: Any, ids: tuple[int, int],
    access: str,
) -> None:  # fmt: skip
    # A8.13; the user has the name of the queue.
    command.queue = queue
    limited.send_command(command)
    text = refused(access, client.resource("queue", queue), queue)
    limited.expect_channel_error(403, text, ids)


def test_permission_is_asked_before_existence(limited: RawClient, name: str) -> None:
    limited.publish("key", b"refused", exchange="nobody")
    text = refused("write", limited.resource("exchange", "nobody"), name)
    limited.expect_channel_error(403, text, PUBLISH)


def test_the_default_exchange_is_called_amq_default(limited: RawClient, name: str) -> None:
    limited.publish("key", b"refused")
    text = refused("write", limited.resource("exchange", "amq.default"), name)
    limited.expect_channel_error(403, text, PUBLISH)


def test_a_bind_needs_read_on_the_exchange(limited: RawClient, name: str) -> None:
    limited.declare("mine-queue", exclusive=True)
    bind = commands.Queue.Bind(queue="mine-queue", exchange="amq.direct", routing_key="k")
    limited.send_command(bind)
    text = refused("read", limited.resource("exchange", "amq.direct"), name)
    limited.expect_channel_error(403, text, BIND)


def test_an_exchange_declare_needs_configure(limited: RawClient, name: str) -> None:
    limited.send_command(commands.Exchange.Declare(exchange="others"))
    text = refused("configure", limited.resource("exchange", "others"), name)
    limited.expect_channel_error(403, text, (40, 10))


def test_an_alternate_exchange_needs_write(limited: RawClient, name: str) -> None:
    # A3.11
    declare = commands.Exchange.Declare(exchange="mine-x")
    limited.send_command(declare, 1, {"alternate-exchange": ("S", "others")})
    text = refused("write", limited.resource("exchange", "others"), name)
    limited.expect_channel_error(403, text, (40, 10))


def test_a_dead_letter_exchange_needs_write(limited: RawClient, name: str) -> None:
    # A9.13
    declare = commands.Queue.Declare(queue="mine-queue", exclusive=True)
    limited.send_command(declare, 1, {"x-dead-letter-exchange": ("S", "others")})
    text = refused("write", limited.resource("exchange", "others"), name)
    limited.expect_channel_error(403, text, DECLARE)


def test_what_is_permitted_works(limited: RawClient) -> None:
    limited.declare("mine-queue", exclusive=True)
    command = commands.Exchange.Declare(exchange="mine-x", auto_delete=True)
    limited.call(command, commands.Exchange.DeclareOk)
    limited.bind("mine-queue", "mine-x", "key")
    limited.publish("key", b"one", exchange="mine-x")
    assert limited.get_all("mine-queue") == [b"one"]


def test_a_topic_without_permission_is_refused(
    limited: RawClient, management: Management, name: str
) -> None:
    # A8.14
    vhost = limited.vhost.replace("/", "%2F")
    topics = {"exchange": "mine-topics", "write": "^a\\.", "read": "^a\\."}
    management.request("PUT", f"/topic-permissions/{vhost}/{name}", topics)
    declare = commands.Exchange.Declare(
        exchange="mine-topics", exchange_type="topic", auto_delete=True
    )
    limited.call(declare, commands.Exchange.DeclareOk)
    limited.declare("mine-queue", exclusive=True)
    limited.bind("mine-queue", "mine-topics", "a.#")
    limited.publish("a.b", b"one", exchange="mine-topics")
    assert limited.get_all("mine-queue") == [b"one"]
    limited.publish("b.c", b"refused", exchange="mine-topics")
    where = f"topic 'b.c' in exchange 'mine-topics' in vhost '{limited.vhost}'"
    text = refused("write", where, name)
    limited.expect_channel_error(403, text, PUBLISH)
    limited.open_channel()
    limited.send_command(
        commands.Queue.Bind(queue="mine-queue", exchange="mine-topics", routing_key="b.*")
    )
    where = f"topic 'b.*' in exchange 'mine-topics' in vhost '{limited.vhost}'"
    text = refused("read", where, name)
    limited.expect_channel_error(403, text, BIND)


def test_an_impersonator_may_set_any_user_id(
    dial: Connect, client: RawClient, management: Management, queue: str
) -> None:
    # A5.7; the user has the name of the queue.
    vhost = client.vhost.replace("/", "%2F")
    content = {"password": queue, "tags": "impersonator"}
    management.request("PUT", f"/users/{queue}", content)
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    management.request("PUT", f"/permissions/{vhost}/{queue}", everything)
    other = dial()
    other.login(queue)
    other.tune_ok()
    other.open()
    other.open_channel()
    other.publish(queue, b"one", header=properties(user_id="anybody"))
    assert other.get_all(queue) == [b"one"]
    management.request("DELETE", f"/users/{queue}")
