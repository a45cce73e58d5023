"""States, channels and what is legal when; the texts were taken from RabbitMQ 3.10.8."""

from __future__ import annotations

import struct

import pytest

from amqpbroker.errors import HardError
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import Method, encode_method
from amqpbroker.wire.connection import HEARTBEAT, BadProtocolHeader, Connection, State
from amqpbroker.wire.constants import (
    HANDSHAKE_FRAME_SIZE_MAX,
    PROTOCOL_HEADER,
    PROTOCOL_HEADER_0_9,
)
from tests.amqp_bytes import method_frame, raw_frame
from tests.wire.peer import (
    CHANNEL_CLOSE,
    CHANNEL_COUNT_MAX,
    CLOSE,
    FRAME_SIZE_MAX,
    SAMPLES,
    TUNE_OK,
    ack_frame,
    body_frame,
    buffered_size,
    connection_in,
    header_frame,
    outcome,
    publish_frame,
    publish_frames,
    reason,
    running,
    see,
)

LEGAL_ON_ZERO: dict[State, set[type[Method]]] = {
    State.STARTING: {m.ConnectionStartOk},
    State.SECURING: {m.ConnectionSecureOk},
    State.TUNING: {m.ConnectionTuneOk},
    State.OPENING: {m.ConnectionOpen},
    State.RUNNING: {m.ConnectionClose, m.ConnectionUpdateSecret},
    State.CLOSING: {m.ConnectionClose, m.ConnectionCloseOk},
}
HANDSHAKE = [State.STARTING, State.SECURING, State.TUNING, State.OPENING]


def refused(connection: Connection, data: bytes) -> tuple[int, str, tuple[int, int]]:
    """Return code, text and failing method of the HardError that ``data`` must raise."""
    with pytest.raises(HardError) as caught:
        see(connection, data)
    return reason(caught.value)


# protocol header


@pytest.mark.parametrize("header", [PROTOCOL_HEADER, PROTOCOL_HEADER_0_9])
def test_a_client_opens_with_a_protocol_header(header: bytes) -> None:
    connection = Connection(message_size_max=1)
    assert outcome(connection, header) == [(0, "ProtocolHeader", None)]
    assert connection.state is State.STARTING


@pytest.mark.parametrize(
    "opening",
    [b"AMQP\x00\x00\x09\x00", b"AMQP\x03\x01\x00\x00", b"GET / HTTP/1.1", b"\x16\x03\x01", b"X"],
)
def test_any_other_opening_is_a_bad_header_and_the_end(opening: bytes) -> None:
    connection = Connection(message_size_max=1)
    with pytest.raises(BadProtocolHeader):
        list(connection.receive_data(opening))
    assert connection.state is State.CLOSED
    assert outcome(connection, PROTOCOL_HEADER) == []
    assert buffered_size(connection) == 0


@pytest.mark.parametrize(
    ("opening", "guess"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "TLS on the port without it"),
        (b"GET /api", "HTTP on the port of AMQP"),
        (b"\x00" * 8, ""),
    ],
)
def test_the_log_says_what_a_bad_opening_looks_like(opening: bytes, guess: str) -> None:
    with pytest.raises(BadProtocolHeader) as caught:
        list(Connection(message_size_max=1).receive_data(opening))
    assert str(caught.value) == f"{opening!r}{', ' if guess else ''}{guess}"


def test_a_bad_opening_is_refused_as_soon_as_it_can_be_told() -> None:
    connection = Connection(message_size_max=1)
    assert outcome(connection, b"A") == []
    assert outcome(connection, b"\xcd") == [(0, "bad header")]


def test_a_header_may_come_byte_by_byte() -> None:
    connection = Connection(message_size_max=1)
    got = [outcome(connection, PROTOCOL_HEADER[i : i + 1]) for i in range(8)]
    assert got == [[]] * 7 + [[(0, "ProtocolHeader", None)]]


def test_frames_may_follow_the_header_in_the_same_read() -> None:
    start_ok = m.ConnectionStartOk({}, "PLAIN", b"\0guest\0guest", "en_US")
    connection = Connection(message_size_max=1)
    got = outcome(connection, PROTOCOL_HEADER + encode_method(0, start_ok))
    assert got == [(0, "ProtocolHeader", None), (0, "ConnectionStartOk", start_ok)]


# methods on channel 0


@pytest.mark.parametrize("state", LEGAL_ON_ZERO)
def test_every_method_on_channel_zero_is_legal_dropped_or_a_channel_error(state: State) -> None:
    for method in SAMPLES:
        connection = connection_in(state)
        got = outcome(connection, encode_method(0, method))
        if type(method) in LEGAL_ON_ZERO[state]:
            assert got == [(0, type(method).__name__, method)]
        elif state is State.CLOSING:
            assert got == []
        else:
            text = f"CHANNEL_ERROR - unexpected method in connection state {state.value}"
            assert got == [(0, "hard", 504, text, (method.class_id, method.method_id))]
            assert connection.state is State.CLOSING


@pytest.mark.parametrize("state", HANDSHAKE)
def test_frames_on_other_channels_must_wait_for_open_ok(state: State) -> None:
    text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
    assert refused(connection_in(state), encode_method(1, m.ChannelOpen())) == (505, text, (0, 0))


def test_limits_hold_once_tuned() -> None:
    connection = connection_in(State.TUNING)
    assert connection.frame_size_max == HANDSHAKE_FRAME_SIZE_MAX
    see(connection, encode_method(0, TUNE_OK))
    connection.channel_count_max, connection.frame_size_max = 7, 4096
    assert connection.state is State.OPENING
    assert (connection.channel_count_max, connection.frame_size_max) == (7, 4096)
    assert refused(connection, encode_method(0, TUNE_OK))[0] == 504


def test_a_client_may_close() -> None:
    connection = running(1)
    [(_, name, _)] = see(connection, encode_method(0, m.ConnectionClose(200, "bye")))
    assert (name, connection.state) == ("ConnectionClose", State.RUNNING)
    connection.send(0, m.ConnectionCloseOk())
    assert connection.state is State.CLOSED
    assert see(connection, ack_frame(1, 1)) == []


def test_nothing_counts_after_close_was_sent_but_close_and_close_ok() -> None:
    connection = running(1)
    connection.send(0, CLOSE)
    noise = publish_frame(1) + ack_frame(9, 1) + HEARTBEAT + raw_frame(77, 1, b"x")
    noise += body_frame(0, b"x") + raw_frame(77, 0, b"x") + encode_method(0, TUNE_OK)
    closes = encode_method(0, CLOSE) + encode_method(0, m.ConnectionCloseOk())
    names = [name for _, name, _ in see(connection, noise + closes)]
    assert names == ["ConnectionClose", "ConnectionCloseOk"]
    assert connection.state is State.CLOSED


# other frames on channel 0


@pytest.mark.parametrize("state", [*HANDSHAKE, State.RUNNING, State.CLOSING])
def test_heartbeats_are_welcome_in_any_state(state: State) -> None:
    assert see(connection_in(state), HEARTBEAT * 3) == []


@pytest.mark.parametrize("state", [*HANDSHAKE, State.RUNNING])
def test_content_on_channel_zero_is_unexpected(state: State) -> None:
    text = 'UNEXPECTED_FRAME - type 3, all octets = <<"x">>'
    assert refused(connection_in(state), body_frame(0, b"x")) == (505, text, (0, 0))
    text = "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,1,0,0>>"
    assert refused(connection_in(state), header_frame(0, 1)) == (505, text, (0, 0))


@pytest.mark.parametrize("state", [*HANDSHAKE, State.RUNNING])
@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (raw_frame(77, 0, b"x"), 'type 77, all octets = <<"x">>'),
        (raw_frame(8, 0, b"x"), 'type 8, all octets = <<"x">>'),
        (raw_frame(1, 0, b"\x00\x0a\x00"), "type 1, all octets = <<0,10,0>>"),
        (raw_frame(2, 0, b"x" * 11), f'type 2, all octets = <<"{"x" * 11}">>'),
    ],
)
def test_frames_that_make_no_sense_are_unknown(state: State, frame: bytes, shown: str) -> None:
    text = f"FRAME_ERROR - {shown}: unknown_frame"
    assert refused(connection_in(state), frame) == (501, text, (0, 0))


# channels


def test_a_channel_opens_and_its_methods_are_events() -> None:
    connection = connection_in(State.RUNNING)
    get = m.BasicGet(0, "q", True)
    got = see(connection, encode_method(3, m.ChannelOpen()) + encode_method(3, get))
    assert got == [(3, "ChannelOpen", m.ChannelOpen()), (3, "BasicGet", get)]


@pytest.mark.parametrize("method", SAMPLES, ids=lambda method: method.method_name)
def test_a_channel_takes_nothing_before_open(method: Method) -> None:
    got = outcome(running(), encode_method(2, method))
    if isinstance(method, m.BasicPublish):
        assert got == []  # not before its content is there, as on RabbitMQ
        content = header_frame(2, 0)
        got = outcome(running(), encode_method(2, method) + content)
    if isinstance(method, m.ChannelOpen):
        assert got == [(2, "ChannelOpen", method)]
    else:
        failing = (method.class_id, method.method_id)
        assert got == [(0, "hard", 504, "CHANNEL_ERROR - expected 'channel.open'", failing)]


def test_a_second_open_is_a_channel_error() -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert refused(running(1), encode_method(1, m.ChannelOpen())) == (504, text, (20, 10))


@pytest.mark.parametrize("frame", [header_frame(2, 1), body_frame(2, b"x")])
def test_content_before_open_is_unexpected(frame: bytes) -> None:
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    assert refused(running(1), frame) == (505, text, (0, 0))


def test_channels_are_counted() -> None:
    connection = running(*range(1, CHANNEL_COUNT_MAX + 1))
    text = "NOT_ALLOWED - number of channels opened (4) has reached the negotiated channel_max (4)"
    assert refused(connection, encode_method(9, m.ChannelOpen())) == (530, text, (0, 0))


def test_a_closed_channel_makes_room() -> None:
    connection = running(1, 2, 3, 4)
    see(connection, encode_method(2, m.ChannelClose(200, "")))
    assert see(connection, encode_method(9, m.ChannelOpen()))


def test_a_channel_that_the_server_closes_counts_until_close_ok() -> None:
    connection = running(1, 2, 3, 4)
    connection.send(2, CHANNEL_CLOSE)
    assert refused(connection, encode_method(9, m.ChannelOpen()))[0] == 530
    connection = running(1, 2, 3, 4)
    connection.send(2, CHANNEL_CLOSE)
    assert see(connection, encode_method(2, m.ChannelCloseOk())) == []
    assert see(connection, encode_method(9, m.ChannelOpen()))


def test_without_a_limit_channels_are_not_counted() -> None:
    connection = connection_in(State.RUNNING)
    connection.channel_count_max = 0
    for number in (1, 2, 3, 4, 5, 65535):
        assert see(connection, encode_method(number, m.ChannelOpen()))


def test_a_number_is_free_as_soon_as_the_client_closes() -> None:
    connection = running(1)
    close = m.ChannelClose(200, "")
    names = [
        name
        for _, name, _ in see(
            connection,
            encode_method(1, close) + encode_method(1, m.ChannelOpen()) + ack_frame(1, 1),
        )
    ]
    assert names == ["ChannelClose", "ChannelOpen", "ack"]


def test_a_closing_channel_drops_all_until_close_ok() -> None:
    connection = running(1, 2)
    connection.send(1, CHANNEL_CLOSE)
    noise = publish_frames(1, b"x") + ack_frame(1, 1) + ack_frame(1, 1, 1)
    noise += header_frame(1, 9) + body_frame(1, b"x")
    noise += encode_method(1, m.ChannelFlow(True)) + method_frame(1, 60, 99)
    assert see(connection, noise + ack_frame(2, 5)) == [(2, "ack", 5)]
    assert see(connection, encode_method(1, m.ChannelCloseOk())) == []
    assert see(connection, encode_method(1, m.ChannelOpen())) == [
        (1, "ChannelOpen", m.ChannelOpen())
    ]


def test_a_closing_channel_cannot_be_opened_before_close_ok() -> None:
    connection = running(1)
    connection.send(1, CHANNEL_CLOSE)
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert refused(connection, encode_method(1, m.ChannelOpen())) == (504, text, (20, 10))


def test_content_on_its_way_is_dropped_when_the_server_closes() -> None:
    connection = running(1)
    assert see(connection, publish_frame(1) + header_frame(1, 2) + body_frame(1, b"x")) == []
    connection.send(1, CHANNEL_CLOSE)
    rest = body_frame(1, b"y") + encode_method(1, m.ChannelCloseOk())
    assert see(connection, rest + encode_method(1, m.ChannelOpen()))
    [(_, _, _, body)] = see(connection, publish_frames(1, b"z"))
    assert body == b"z"


def test_a_channel_closed_by_the_answer_drops_what_came_in_the_same_read() -> None:
    connection = running(1)
    events = connection.receive_data(ack_frame(1, 1) + encode_method(1, m.BasicRecover(True)))
    next(events)
    connection.send(1, CHANNEL_CLOSE)
    assert list(events) == []


def test_closes_that_cross_are_both_answered() -> None:
    connection = running(1)
    connection.send(1, CHANNEL_CLOSE)
    connection.data_to_send()
    assert see(connection, encode_method(1, m.ChannelClose(200, ""))) == []
    assert connection.data_to_send() == encode_method(1, m.ChannelCloseOk())
    assert see(connection, ack_frame(1, 1) + encode_method(1, m.ChannelCloseOk())) == []
    assert see(connection, encode_method(1, m.ChannelOpen()))


def test_a_heartbeat_on_a_channel_is_unexpected() -> None:
    text = "UNEXPECTED_FRAME - type 8, all octets = <<>>"
    assert refused(running(1), raw_frame(8, 1, b"")) == (505, text, (0, 0))


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (raw_frame(4, 1, b"hello"), 'type 4, all octets = <<"hello">>'),
        (raw_frame(8, 1, b"x"), 'type 8, all octets = <<"x">>'),
        (raw_frame(1, 1, b"\x00\x3c\x00"), "type 1, all octets = <<0,60,0>>"),
        (raw_frame(2, 1, bytes(11)), f"type 2, all octets = <<{'0,' * 10}0>>"),
    ],
)
@pytest.mark.parametrize("is_closing", [False, True])
def test_unknown_frames_on_a_channel(frame: bytes, shown: str, is_closing: bool) -> None:
    connection = running(1)
    if is_closing:
        connection.send(1, CHANNEL_CLOSE)
    text = f"FRAME_ERROR - {shown}: unknown_frame"
    assert refused(connection, frame) == (501, text, (0, 0))


@pytest.mark.parametrize("bits", [1, 3])
def test_an_ack_of_several_deliveries_is_a_method(bits: int) -> None:
    got = see(running(1), ack_frame(1, 5) + ack_frame(1, 7, bits) + ack_frame(1, 9))
    assert got == [(1, "ack", 5), (1, "BasicAck", m.BasicAck(7, True)), (1, "ack", 9)]


def test_acks_in_a_row_on_a_channel_are_one_event() -> None:
    data = ack_frame(1, 1) + ack_frame(1, 2) + ack_frame(2, 3) + ack_frame(1, 4)
    assert len(list(running(1, 2).receive_data(data))) == 3
    assert see(running(1, 2), data) == [(1, "ack", 1), (1, "ack", 2), (2, "ack", 3), (1, "ack", 4)]


# the envelope of frames


def test_a_frame_may_be_too_large_by_its_overhead_and_no_more() -> None:
    text = (
        "FRAME_ERROR - type 3, all octets = <<>>: "
        f"{{frame_too_large,{FRAME_SIZE_MAX + 1},{FRAME_SIZE_MAX - 8}}}"
    )
    head = struct.pack(">BHI", 3, 1, FRAME_SIZE_MAX + 1)
    assert refused(running(1), head) == (501, text, (0, 0))
    tolerated = see(running(1), ack_frame(1, 1) + struct.pack(">BHI", 3, 1, FRAME_SIZE_MAX))
    assert tolerated == [(1, "ack", 1)]


def test_frames_are_small_before_tune_ok() -> None:
    connection = Connection(message_size_max=1)
    outcome(connection, PROTOCOL_HEADER)
    size = HANDSHAKE_FRAME_SIZE_MAX + 1
    error = refused(connection, struct.pack(">BHI", 1, 0, size))
    assert f"{{frame_too_large,{size},{HANDSHAKE_FRAME_SIZE_MAX - 8}}}" in error[1]


def test_a_setting_says_how_large_frames_may_be_before_tune_ok() -> None:
    # A1.10
    connection = Connection(message_size_max=1, handshake_frame_size_max=20_000)
    outcome(connection, PROTOCOL_HEADER)
    assert (
        "frame_too_large,20001,19992" in refused(connection, struct.pack(">BHI", 1, 0, 20_001))[1]
    )


def test_a_wrong_frame_end_is_a_frame_error() -> None:
    shown = "FRAME_ERROR - type 1, all octets"
    text = f'{shown} = <<"hello">>: {{invalid_frame_end_marker,205}}'
    assert refused(running(1), raw_frame(1, 1, b"hello", end=205)) == (501, text, (0, 0))


@pytest.mark.parametrize(
    "broken", [raw_frame(1, 1, b"hello", end=205), struct.pack(">BHI", 3, 1, 1 << 31)]
)
def test_after_a_broken_frame_nothing_can_be_followed(broken: bytes) -> None:
    connection = running(1)
    refused(connection, broken + encode_method(0, m.ConnectionCloseOk()))
    assert see(connection, encode_method(0, m.ConnectionCloseOk())) == []
    assert buffered_size(connection) == 0


def test_frames_behind_an_illegal_one_are_read_with_the_next_bytes() -> None:
    connection = running(1)
    refused(connection, body_frame(1, b"x") + encode_method(0, m.ConnectionCloseOk()))
    [(_, name, _)] = see(connection, b"")
    assert name == "ConnectionCloseOk"


def test_events_before_an_error_are_yielded() -> None:
    got = outcome(running(1), ack_frame(1, 1) + body_frame(1, b"x"))
    assert [what for _, what, *_ in got] == ["ack", "hard"]


# bytes out


def test_what_was_written_is_given_once() -> None:
    connection = running(1)
    assert connection.data_to_send() == b""
    connection.send(1, m.BasicQosOk())
    connection.write(b"abc")
    assert connection.outgoing_size == len(encode_method(1, m.BasicQosOk())) + 3
    assert connection.data_to_send() == encode_method(1, m.BasicQosOk()) + b"abc"
    assert (connection.data_to_send(), connection.outgoing_size) == (b"", 0)


def test_a_heartbeat_is_an_empty_frame_on_channel_zero() -> None:
    assert raw_frame(8, 0, b"") == HEARTBEAT
