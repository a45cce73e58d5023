"""Method, header and body frames become a publish, or an error with RabbitMQ's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import body, commands, frame, header

from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import encode_method
from amqpbroker.wire.connection import PUBLICATION_CACHE_COUNT_MAX, PUBLICATION_CACHE_SIZE_MAX
from amqpbroker.wire.events import Publish
from tests.amqp_bytes import properties
from tests.wire.peer import (
    CHANNEL_CLOSE,
    MESSAGE_SIZE_MAX,
    ack_frame,
    body_frame,
    header_frame,
    outcome,
    publish_frame,
    publish_frames,
    running,
    see,
)

if TYPE_CHECKING:
    from amqpbroker.wire.content import Publication

EXPECTED_HEADER = "UNEXPECTED_FRAME - expected content header for class 60"
NOT_A_HEADER = f"{EXPECTED_HEADER}, got non content header frame instead"
NOT_A_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
NOT_A_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
PUBLISH_IDS = (60, 40)
GET = encode_method(1, m.BasicGet(0, "q", True))


def refusals(*frames: bytes) -> list[tuple[object, ...]]:
    """Return what a connection with channel 1 open makes of the frames."""
    return outcome(running(1), b"".join(frames))


def publishes(data: bytes) -> list[tuple[Publication, list[bytes]]]:
    """Return the publish events of ``data`` as they are."""
    events = [event for _, event in running(1).receive_data(data)]
    return [(event.publication, event.bodies) for event in events if isinstance(event, Publish)]


@pytest.mark.parametrize("pieces", [[b"whole"], [b"in ", b"three", b" pieces"], [b"", b"a"]])
def test_a_publish_from_pamqp_is_one_event(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    method = commands.Basic.Publish(exchange="logs", routing_key="key", mandatory=True)
    values = commands.Basic.Properties(content_type="text/plain", delivery_mode=2)
    head = header.ContentHeader(body_size=len(whole), properties=values)
    frames = [frame.marshal(method, 1), frame.marshal(head, 1)]
    frames += [frame.marshal(body.ContentBody(piece), 1) for piece in pieces]
    [(publication, bodies)] = publishes(b"".join(frames))
    assert (publication.exchange, publication.routing_key) == ("logs", "key")
    assert (publication.mandatory, publication.immediate) == (True, False)
    assert publication.properties == {"content_type": "text/plain", "delivery_mode": 2}
    assert publication.raw_properties == values.marshal()
    assert publication.is_persistent
    assert (publication.body_size, bodies) == (len(whole), [whole])


def test_an_empty_body_has_no_frame() -> None:
    [(publication, bodies)] = publishes(publish_frames(1, b""))
    assert (publication.body_size, bodies) == (0, [b""])


def test_empty_body_frames_are_ignored_and_not_kept() -> None:
    connection = running(1)
    see(connection, publish_frame(1) + header_frame(1, 2) + body_frame(1, b"") * 1000)
    assert connection._channels[1].bodies == []
    [(_, _, _, received)] = see(connection, body_frame(1, b"x") + body_frame(1, b"y"))
    assert received == b"xy"


def test_content_of_channels_may_be_interleaved() -> None:
    got = see(
        running(1, 2),
        publish_frame(1, "a")
        + publish_frame(2, "b")
        + header_frame(1, 2)
        + body_frame(1, b"1")
        + header_frame(2, 2)
        + body_frame(2, b"22")
        + body_frame(1, b"1"),
    )
    assert [(number, values[1], received) for number, _, values, received in got] == [
        (2, "b", b"22"),
        (1, "a", b"11"),
    ]


def test_other_channels_go_on_in_the_middle_of_content() -> None:
    start = publish_frame(1) + header_frame(1, 1)
    got = see(running(1, 2), start + ack_frame(2, 7) + body_frame(1, b"x"))
    assert [(number, what) for number, what, *_ in got] == [(2, "ack"), (1, "publish")]


# what is illegal


@pytest.mark.parametrize("content", [header_frame(1, 1), body_frame(1, b"x"), body_frame(1, b"")])
def test_content_without_a_publish_is_unexpected(content: bytes) -> None:
    expected = (0, "hard", 505, NOT_A_METHOD, (0, 0))
    assert refusals(content) == [expected]
    assert refusals(publish_frames(1, b"x"), content)[1:] == [expected]
    assert refusals(publish_frames(1, b""), content)[1:] == [expected]


@pytest.mark.parametrize("other", [GET, ack_frame(1, 1), publish_frame(1), body_frame(1, b"x")])
def test_a_publish_must_be_followed_by_its_header(other: bytes) -> None:
    assert refusals(publish_frame(1), other) == [(0, "hard", 505, NOT_A_HEADER, PUBLISH_IDS)]


@pytest.mark.parametrize("other", [GET, ack_frame(1, 1), publish_frame(1), header_frame(1, 5)])
@pytest.mark.parametrize("sent", [b"", b"x"])
def test_a_header_must_be_followed_by_its_body(other: bytes, sent: bytes) -> None:
    got = refusals(publish_frame(1), header_frame(1, 5), body_frame(1, sent), other)
    assert got == [(0, "hard", 505, NOT_A_BODY, PUBLISH_IDS)]


def test_a_method_in_mid_content_is_not_even_decoded() -> None:
    broken = encode_method(1, m.BasicCancelOk("x"))[:-2] + b"\xce"
    broken = broken[:6] + bytes([broken[6] - 1]) + broken[7:]
    assert refusals(publish_frame(1), broken) == [(0, "hard", 505, NOT_A_HEADER, PUBLISH_IDS)]


def test_a_header_of_another_class_is_unexpected() -> None:
    text = f"{EXPECTED_HEADER}, got one for class 50 instead"
    got = refusals(publish_frame(1), header_frame(1, 0, class_id=50))
    assert got == [(0, "hard", 505, text, PUBLISH_IDS)]


def test_a_header_with_a_weight_is_no_header() -> None:
    got = refusals(publish_frame(1), header_frame(1, 0, weight=1))
    assert got == [(0, "hard", 505, NOT_A_HEADER, PUBLISH_IDS)]


@pytest.mark.parametrize("pieces", [[b"123456"], [b"1234", b"56"]])
def test_a_body_must_not_be_longer_than_announced(pieces: list[bytes]) -> None:
    frames = [body_frame(1, piece) for piece in pieces]
    got = refusals(publish_frame(1), header_frame(1, 5), *frames)
    assert got == [(0, "hard", 505, NOT_A_BODY, PUBLISH_IDS)]


@pytest.mark.parametrize(
    ("raw", "code", "explanation"),
    [
        (b"", 502, "malformed content properties"),
        (b"\x00\x00x", 502, "malformed content properties"),
        (b"\x20\x00\x00\x00\x00\x03\x01aQ", 502, "unknown field type 81 in a table"),
    ],
)
def test_malformed_properties_name_the_publish(raw: bytes, code: int, explanation: str) -> None:
    [(_, what, got, text, failing)] = refusals(publish_frame(1), header_frame(1, 0, raw))
    assert (what, got, failing) == ("hard", code, PUBLISH_IDS)
    assert str(text).endswith(explanation)


@pytest.mark.parametrize("raw", [b"\x00\x01", b"\x00\x02"])
def test_flags_of_no_property_are_ignored(raw: bytes) -> None:
    [(sent, _)] = publishes(publish_frame(1) + header_frame(1, 0, raw))
    assert sent.properties == {}


# too large a message


def test_a_message_of_the_largest_size_is_taken() -> None:
    [(_, _, _, received)] = see(running(1), publish_frames(1, bytes(MESSAGE_SIZE_MAX)))
    assert received == bytes(MESSAGE_SIZE_MAX)


@pytest.mark.parametrize("size", [MESSAGE_SIZE_MAX + 1, 2**64 - 1])
def test_too_large_a_message_closes_the_channel(size: int) -> None:
    text = f"message size {size} is larger than configured max size {MESSAGE_SIZE_MAX}"
    got = refusals(publish_frame(1), header_frame(1, size))
    assert got == [(1, "soft", 406, f"PRECONDITION_FAILED - {text}", PUBLISH_IDS)]


def test_the_body_of_too_large_a_message_is_dropped() -> None:
    connection = running(1, 2)
    size = MESSAGE_SIZE_MAX + 1
    got = see(
        connection,
        publish_frame(1)
        + header_frame(1, size)
        + body_frame(1, bytes(size - 1))
        + ack_frame(2, 1)
        + body_frame(1, b"x")
        + ack_frame(1, 1),
    )
    assert [(number, what) for number, what, *_ in got] == [(1, "soft"), (2, "ack")]
    connection.send(1, CHANNEL_CLOSE)
    again = encode_method(1, m.ChannelCloseOk()) + encode_method(1, m.ChannelOpen())
    got = see(connection, again + publish_frames(1, b"x"))
    assert [what for _, what, *_ in got] == ["ChannelOpen", "publish"]


# what publishes share


def test_equal_frames_share_a_publication() -> None:
    first, other = publish_frames(1, b"a"), publish_frames(1, b"a", key="other")
    got = publishes(first + other + first + publish_frames(1, b"ab"))
    kinds = [publication for publication, _ in got]
    assert kinds[0] is kinds[2]
    assert len({id(kind) for kind in kinds}) == 3


def test_publishes_in_a_row_are_one_event() -> None:
    bodies = [bytes([i]) * 9 for i in range(5)]
    got = publishes(b"".join(publish_frames(1, item) for item in bodies))
    assert [received for _, received in got] == [bodies[:1], bodies[1:]]
    assert len({id(publication) for publication, _ in got}) == 1


def test_publications_are_remembered_within_bounds() -> None:
    connection = running(1)
    for i in range(3 * PUBLICATION_CACHE_COUNT_MAX):
        see(connection, publish_frames(1, b"x", key=f"k{i}"))
        assert len(connection._publications) <= PUBLICATION_CACHE_COUNT_MAX
        assert len(connection._publishes) <= PUBLICATION_CACHE_COUNT_MAX
    large = properties(headers={"h": ("S", bytes(PUBLICATION_CACHE_SIZE_MAX))})
    connection = running(1)
    see(connection, publish_frames(1, b"x", header=large) * 2)
    assert connection._publications == {}
    assert connection._repeat is None
