"""Settings that clients see (FEATURES A1.4, A1.8, A1.10, A1.16, A5.9)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import BODY, HEADER, command_frame, raw_frame
from tests.conftest import EXTERNAL_URL
from tests.helpers import start_broker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers import RunningBroker

pytestmark = pytest.mark.skipif(bool(EXTERNAL_URL), reason="needs a broker with other settings")

MESSAGE_SIZE_MAX = 10_000


@pytest.fixture(scope="module")
def small() -> Iterator[RunningBroker]:
    """A broker with small limits and another identity."""
    with start_broker(
        frame_max=8192,
        channel_max=5,
        heartbeat_s=7,
        handshake_timeout_s=0.5,
        message_size_max=MESSAGE_SIZE_MAX,
        product="Other",
        version="4.1.2",
        cluster_name="here",
    ) as broker:
        yield broker


@pytest.fixture
def client(small: RunningBroker) -> Iterator[RawClient]:
    """A connection to that broker that has said nothing yet."""
    client = RawClient(small)
    yield client
    client.close()


def open_channel(client: RawClient) -> None:
    client.login()
    client.tune_ok(channel_max=5, frame_max=8192)
    client.open()
    client.open_channel()


def test_the_identity(client: RawClient) -> None:
    # A1.4: kombu and Celery choose their kind of prefetch by it.
    fields = client.start().server_properties
    assert fields is not None
    named = [fields[name] for name in ("product", "version", "cluster_name")]
    assert named == ["Other", "4.1.2", "here"]


def test_tune_proposes_the_limits(client: RawClient) -> None:
    tune = client.login()
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (5, 8192, 7)


def test_tune_ok_above_the_limits_is_refused(client: RawClient) -> None:
    client.login()
    client.tune_ok(channel_max=6, frame_max=8192)
    text = "channel_max = 6 is higher than the maximum allowed value (5)"
    client.expect_connection_error(530, f"NOT_ALLOWED - negotiated {text}", (10, 31))


@pytest.mark.parametrize("said", [b"", b"AMQP", b"AMQP\x00\x00\x09\x01"])
def test_a_silent_client_is_not_waited_for(client: RawClient, said: bytes) -> None:
    # A1.16
    client.send(said)
    client.receive_to_end()


def test_a_message_that_is_too_large_is_refused(client: RawClient) -> None:
    # A5.9
    open_channel(client)
    queue = client.declare("", exclusive=True)
    client.publish(queue, bytes(MESSAGE_SIZE_MAX))
    client.publish(queue, bytes(MESSAGE_SIZE_MAX + 1), b"dropped with the channel")
    text = (
        f"PRECONDITION_FAILED - message size {MESSAGE_SIZE_MAX + 1} is larger than "
        f"configured max size {MESSAGE_SIZE_MAX}"
    )
    client.expect_channel_error(406, text, (60, 40))
    client.open_channel()
    assert client.counts(queue) == (1, 0)


def test_a_message_that_is_too_large_is_refused_at_its_header(client: RawClient) -> None:
    open_channel(client)
    publish = command_frame(commands.Basic.Publish(routing_key="nobody"), 1)
    client.send(publish + raw_frame(HEADER, 1, struct.pack(">HHQH", 60, 0, 2**40, 0)))
    close = client.read(commands.Channel.Close)
    assert close.reply_code == 406
    client.send(raw_frame(BODY, 1, b"late"))
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()
