"""Whole streams of bytes: how they are cut, what is garbage, and what they cost.

The twin of a connection is one that gets each frame alone: it never sees a publish in one piece,
so it never takes the fast path. Whatever a connection makes of a stream, however that is cut, its
twin must make of it too.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amqpbroker.errors import HardError
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import Method, encode_method
from amqpbroker.wire.connection import (
    HEARTBEAT,
    PUBLICATION_CACHE_SIZE_MAX,
    BadProtocolHeader,
    Connection,
    State,
)
from amqpbroker.wire.constants import FRAME_OVERHEAD_SIZE, FRAME_SIZE_FUDGE, PROTOCOL_HEADER
from amqpbroker.wire.events import Publish
from tests.amqp_bytes import properties, raw_frame
from tests.wire.peer import (
    CHANNEL_CLOSE,
    CLOSE,
    FRAME_SIZE_MAX,
    MESSAGE_SIZE_MAX,
    SAMPLES,
    Seen,
    ack_frame,
    body_frame,
    buffered_size,
    connection_in,
    flat,
    header_frame,
    publish_frame,
    publish_frames,
    reason,
    running,
)
from tests.wire.strategies import integers, methods

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hypothesis.strategies import SearchStrategy

    from amqpbroker.wire.events import Event

CHANNELS: Final = (1, 2)
BUFFER_SIZE_MAX: Final = FRAME_SIZE_MAX + FRAME_OVERHEAD_SIZE + FRAME_SIZE_FUDGE
HEADERS: Final = properties(message_id="m", headers={"n": ("l", 1)})


def frames_of(number: int) -> list[bytes]:
    """Return frames that a client may send on a channel, some of them only at times."""
    return [
        publish_frame(number, "a"),
        publish_frame(number, "b"),
        header_frame(number, 0),
        header_frame(number, 3),
        header_frame(number, 3, HEADERS),
        header_frame(number, MESSAGE_SIZE_MAX + 1),
        body_frame(number, b""),
        body_frame(number, b"x"),
        body_frame(number, b"xyz"),
        ack_frame(number, 1),
        ack_frame(number, 2, 1),
        encode_method(number, m.BasicGet(0, "q", True)),
        encode_method(number, m.ChannelOpen()),
        encode_method(number, m.ChannelClose(200, "")),
        encode_method(number, m.ChannelCloseOk()),
    ]


FRAMES: Final = [
    *itertools.chain.from_iterable(map(frames_of, CHANNELS)),
    HEARTBEAT,
    encode_method(0, m.ConnectionClose(200, "")),
    encode_method(0, m.ConnectionCloseOk()),
    raw_frame(77, 1, b"?"),
    body_frame(1, b"xyz")[:-1] + b"\xcd",
]


def publishing(number: int, kind: tuple[str, bytes | None, list[bytes]], count: int) -> list[bytes]:
    """Return the frames of equal publishes in a row, their bodies in pieces."""
    key, header, pieces = kind
    head = header_frame(number, sum(map(len, pieces)), header)
    return [
        publish_frame(number, key),
        head,
        *(body_frame(number, piece) for piece in pieces),
    ] * count


KINDS: Final = [
    ("a", None, [b"xyz"]),
    ("b", None, [b"xyz"]),
    ("a", HEADERS, [b"xyz"]),
    ("a", None, [b"x", b"yz"]),
    ("a", None, [b"", b"xyz"]),
    ("a", None, []),
]
PHRASES: Final[SearchStrategy[list[bytes]]] = st.builds(
    publishing, st.sampled_from(CHANNELS), st.sampled_from(KINDS), st.integers(1, 4)
) | st.lists(st.sampled_from(FRAMES), min_size=1, max_size=2)
STREAMS: Final = st.lists(PHRASES, max_size=10).map(
    lambda phrases: list(itertools.chain.from_iterable(phrases))
)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return ``data`` in pieces; places beyond its end cut nothing."""
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


class Server:
    """Does with events what a server does, and writes down what it saw.

    ``failing_at`` is the number of the publish or ack that it closes the channel for.
    """

    def __init__(self, connection: Connection, failing_at: int = -1) -> None:
        self.connection = connection
        self.seen: list[Seen] = []
        self._countdown = failing_at

    def receive(self, data: bytes) -> None:
        try:
            for number, event in self.connection.receive_data(data):
                self._take(number, event)
        except HardError as error:
            self.seen.append((0, "hard", *reason(error)))
            self.connection.send(0, CLOSE)
            self.receive(b"")

    def _take(self, number: int, event: Event) -> None:
        for item in flat(number, event):
            self.seen.append(item)
            self._answer(number, item[1])
            self._countdown -= item[1] in {"publish", "ack"}
            if self._countdown == -1 and item[1] in {"publish", "ack"}:
                self.connection.send(number, CHANNEL_CLOSE)
                break

    def _answer(self, number: int, what: str) -> None:
        if what == "soft":
            self.connection.send(number, CHANNEL_CLOSE)
        elif what == "ChannelClose":
            self.connection.send(number, m.ChannelCloseOk())
        elif what == "ConnectionClose":
            self.connection.send(0, m.ConnectionCloseOk())


def seen(pieces: Sequence[bytes], failing_at: int = -1) -> list[Seen]:
    """Return what a server sees of the pieces, and what it answers in the end."""
    server = Server(running(*CHANNELS), failing_at)
    for piece in pieces:
        server.receive(piece)
    return [*server.seen, (0, "answers", server.connection.data_to_send())]


# (a) any cut gives the same events


@settings(max_examples=300)
@given(STREAMS, st.lists(st.integers(0, 2000), max_size=12), st.integers(-1, 12))
def test_a_stream_and_its_twin_agree(frames: list[bytes], places: list[int], failing: int) -> None:
    assert seen(cut(b"".join(frames), places), failing) == seen(frames, failing)


@settings(max_examples=60)
@given(STREAMS, st.integers(-1, 12))
def test_a_stream_byte_by_byte_and_its_twin_agree(frames: list[bytes], failing: int) -> None:
    data = b"".join(frames)
    assert seen(cut(data, range(1, len(data))), failing) == seen(frames, failing)


PUBLISH: Final = [publish_frame(1), header_frame(1, 3), body_frame(1, b"xyz")]
PUBLISH_OF_ACKS_SIZE: Final = publish_frame(1, "key4")
SHORT_CUTS: Final = {
    "header behind another publish": [
        [publish_frame(1)],
        [publish_frame(2), *PUBLISH[1:]],
        [publish_frame(2), *PUBLISH[1:]],
    ],
    "body of another channel": [
        [publish_frame(2), header_frame(2, 9)],
        *[[*PUBLISH[:2], body_frame(2, b"abc"), PUBLISH[2]]] * 3,
    ],
    "ack before the header": [[PUBLISH[0], ack_frame(2, 1), *PUBLISH[1:]]] * 3,
    "ack before the body": [[*PUBLISH[:2], ack_frame(2, 1), PUBLISH[2]]] * 3,
    "positions of an earlier read": [
        [PUBLISH_OF_ACKS_SIZE],
        *[[ack_frame(2, 1), *PUBLISH[1:]]] * 2,
    ],
    "channel closed by the client": [
        [*PUBLISH, encode_method(1, m.ChannelClose(200, ""))],
        PUBLISH,
    ],
    "publish under way on the channel": [[*PUBLISH, publish_frame(1, "b")], PUBLISH],
    "wrong frame end": [PUBLISH * 2, [*PUBLISH[:2], PUBLISH[2][:-1] + b"\xcd"], PUBLISH],
    "empty body frame": [[*PUBLISH[:2], body_frame(1, b""), PUBLISH[2]]] * 3,
    "header of the same start": [PUBLISH * 2, [PUBLISH[0], header_frame(1, 0)]],
    "other body frames": [
        PUBLISH,
        [*PUBLISH[:2], body_frame(1, b"x"), body_frame(1, b"yz")],
    ],
}
"""What a repeat must not hide: frames by reads."""


@pytest.mark.parametrize("reads", SHORT_CUTS.values(), ids=SHORT_CUTS.keys())
def test_a_repeat_is_no_short_cut_past_the_rules(reads: list[list[bytes]]) -> None:
    frames = list(itertools.chain.from_iterable(reads))
    assert seen([b"".join(read) for read in reads]) == seen(frames)
    assert seen([b"".join(frames)]) == seen(frames)


def odd_publish(frame: int, place: int, octet: int) -> list[bytes]:
    """Return a publish with one octet of one frame changed."""
    frames = [publish_frame(1, "key"), header_frame(1, 3, HEADERS), body_frame(1, b"xyz")]
    frames[frame] = frames[frame][:place] + bytes([octet]) + frames[frame][place + 1 :]
    return frames


ODD_PUBLISHES: Final = {
    "malformed method": odd_publish(0, 14, 200),
    "malformed properties": odd_publish(1, 21, 200),
    "unknown flags": odd_publish(1, 20, 1),
    "class": odd_publish(1, 8, 50),
    "weight": odd_publish(1, 10, 1),
    "body size": odd_publish(1, 18, 2),
    "frame end of the method": odd_publish(0, -1, 0),
    "frame end of the header": odd_publish(1, -1, 0),
    "frame end of the body": odd_publish(2, -1, 0),
    "other channel": [publish_frame(1), header_frame(2, 3), body_frame(2, b"xyz")],
    "channel zero": [publish_frame(0), header_frame(0, 3), body_frame(0, b"xyz")],
    "channel not open": [publish_frame(3), header_frame(3, 3), body_frame(3, b"xyz")],
    "too large a message": [
        publish_frame(1),
        header_frame(1, MESSAGE_SIZE_MAX + 1),
        body_frame(1, bytes(MESSAGE_SIZE_MAX + 1)),
    ],
}


@pytest.mark.parametrize("odd", ODD_PUBLISHES.values(), ids=ODD_PUBLISHES.keys())
@pytest.mark.parametrize(
    "before",
    [
        [],
        PUBLISH,
        [publish_frame(1)],
        [encode_method(1, m.ChannelClose(200, ""))],
        [encode_method(0, m.ConnectionCloseOk())],
    ],
    ids=["first", "publish", "mid-content", "channel closed", "closing"],
)
def test_a_whole_publish_is_no_short_cut_past_the_rules(
    odd: list[bytes], before: list[bytes]
) -> None:
    for publish in (odd, PUBLISH):
        frames = [*before, *publish, ack_frame(2, 7), *PUBLISH, HEARTBEAT, ack_frame(1, 8)]
        assert seen([b"".join(frames)]) == seen(frames)
        assert seen([b"".join(frames)], 0) == seen(frames, 0)


def test_a_publish_that_is_no_repeat_is_taken_at_once() -> None:
    connection = running(1)
    for i in range(3):
        header = properties(message_id=str(i))
        [(_, event)] = connection.receive_data(publish_frames(1, b"xyz", header=header))
        assert isinstance(event, Publish)
        assert event.publication.property("message_id") == str(i)
        assert connection._channels[1].publish_payload == b""


def test_repeats_take_the_fast_path_also_across_reads() -> None:
    data = publish_frames(1, b"xyz", header=HEADERS) * 10
    connection = running(1)
    sizes = [
        len(event.bodies)
        for piece in cut(data, [len(data) // 2])
        for _, event in connection.receive_data(piece)
        if isinstance(event, Publish)
    ]
    assert sum(sizes) == 10
    assert len(sizes) < 5


def test_one_publish_like_the_last_is_taken_by_itself() -> None:
    connection = running(1)
    publish = publish_frames(1, b"xyz", header=HEADERS)
    assert connection.receive_repeat(publish) is None, "there is no last one"
    list(connection.receive_data(publish))
    repeat = connection.receive_repeat(publish_frames(1, b"abc", header=HEADERS))
    assert repeat is not None
    assert repeat[0] == 1
    assert repeat[1].bodies == [b"abc"]


def test_whatever_is_not_one_publish_like_the_last_is_left_for_the_rules() -> None:
    connection = running(1, 2)
    publish = publish_frames(1, b"xyz")
    list(connection.receive_data(publish))
    for other in (
        publish * 2,
        publish[:-1],
        publish + HEARTBEAT[:3],
        publish[:-1] + b"\xcd",
        publish_frames(2, b"xyz"),
        publish_frames(1, b"wxyz"),
        publish_frames(1, b"xyz", header=HEADERS),
        HEARTBEAT,
    ):
        assert connection.receive_repeat(other) is None
    list(connection.receive_data(publish[:5]))
    assert connection.receive_repeat(publish) is None, "its first bytes are behind others"


def test_the_twin_never_takes_the_fast_path() -> None:
    connection = running(1)
    for frame in publishing(1, KINDS[0], 3):
        list(connection.receive_data(frame))
        assert connection._repeat is None


@given(st.lists(st.integers(1, 7)))
def test_a_handshake_may_be_cut_anywhere(places: list[int]) -> None:
    start_ok = encode_method(0, m.ConnectionStartOk({}, "PLAIN", b"", "en_US"))
    data = PROTOCOL_HEADER + start_ok
    connection = Connection(message_size_max=1)
    names = []
    for piece in cut(data, places):
        for number, event in connection.receive_data(piece):
            names += [what for _, what, *_ in flat(number, event)]
            connection.state = State.STARTING
    assert names == ["ProtocolHeader", "ConnectionStartOk"]


# (b) everything is legal or refused


SITUATIONS: Final = ["open", "closed", "closing", "publish", "body"]


def busy(state: State, situation: str) -> Connection:
    """Return a connection whose channel 1 is open, closing, in mid-content or does not exist."""
    if state is not State.RUNNING:
        return connection_in(state)
    if situation == "closed":
        return running()
    connection = running(1)
    starts = {
        "publish": publish_frame(1),
        "body": publish_frame(1) + header_frame(1, 5),
    }
    assert not list(connection.receive_data(starts.get(situation, b"")))
    if situation == "closing":
        connection.send(1, CHANNEL_CLOSE)
    return connection


def takes(connection: Connection, data: bytes) -> None:
    """Feed bytes: they are legal, or refused with an error that has a code, and nothing else."""
    refusal: HardError | None = None
    try:
        for _, event in connection.receive_data(data):
            assert event is not None
    except HardError as error:
        refusal = error
    except BadProtocolHeader:
        refusal = None
    assert refusal is None or len(refusal.reply_text.encode("utf-8", "surrogateescape")) <= 255
    assert buffered_size(connection) <= BUFFER_SIZE_MAX


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("state", State)
def test_every_method_is_legal_or_refused(state: State, situation: str) -> None:
    for method, number in itertools.product(SAMPLES, (0, 1)):
        takes(busy(state, situation), encode_method(number, method))


@settings(max_examples=200)
@given(st.sampled_from(State), st.sampled_from(SITUATIONS), methods(), st.integers(0, 1))
def test_methods_are_legal_or_refused_whatever_they_say(
    state: State, situation: str, method: Method, number: int
) -> None:
    takes(busy(state, situation), encode_method(number, method))


@given(
    st.sampled_from(State),
    st.sampled_from(SITUATIONS),
    st.lists(
        st.builds(
            raw_frame,
            st.sampled_from([1, 2, 3, 4, 8]) | integers(8),
            st.integers(0, 2),
            st.binary(max_size=40),
            st.just(0xCE) | integers(8),
        )
    ),
)
def test_every_frame_is_legal_or_refused(state: State, situation: str, frames: list[bytes]) -> None:
    connection = busy(state, situation)
    for frame in frames:
        takes(connection, frame)


@given(st.sampled_from(State), st.lists(st.binary()))
def test_garbage_is_refused_and_not_piled_up(state: State, pieces: list[bytes]) -> None:
    connection = connection_in(state)
    for piece in pieces:
        takes(connection, piece)


@settings(max_examples=200)
@given(STREAMS, st.lists(st.tuples(st.integers(0, 2000), integers(8)), min_size=1), st.data())
def test_a_damaged_stream_is_refused_or_read(
    frames: list[bytes], damage: list[tuple[int, int]], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(frames))
    for place, octet in damage:
        if place < len(stream):
            stream[place] = octet
    connection = running(*CHANNELS)
    for piece in cut(bytes(stream), data.draw(st.lists(st.integers(0, 2000), max_size=5))):
        takes(connection, piece)


@pytest.mark.parametrize("state", State)
def test_an_endless_frame_is_not_piled_up(state: State) -> None:
    connection = connection_in(state)
    size = FRAME_SIZE_MAX
    takes(connection, raw_frame(3, 1, bytes(size))[:7])
    for _ in range(2 * size // 100):
        takes(connection, bytes(100))


# what bytes cost


class CountingConnection(Connection):
    """Counts how often it looks at bytes that are not enough, and how many it looks at."""

    __slots__ = ("kept_count", "kept_size")

    def __init__(self) -> None:
        super().__init__(message_size_max=1 << 30)
        self.state, self.frame_size_max = State.RUNNING, 131072
        self.kept_count = self.kept_size = 0
        list(self.receive_data(encode_method(1, m.ChannelOpen())))

    def _keep(self, data: bytes, pos: int, needed_size: int) -> None:
        self.kept_count += 1
        self.kept_size += len(data) - pos
        super()._keep(data, pos, needed_size)

    def trickle(self, data: bytes) -> None:
        """Receive single bytes; count from here on."""
        self.kept_count = self.kept_size = 0
        for index in range(len(data)):
            list(self.receive_data(data[index : index + 1]))


BODY_SIZE: Final = 131072 - 8


def test_a_large_frame_in_single_bytes_is_looked_at_a_few_times() -> None:
    connection = CountingConnection()
    connection.trickle(publish_frame(1) + header_frame(1, BODY_SIZE))
    connection.trickle(body_frame(1, bytes(BODY_SIZE)))
    assert connection.kept_count <= 20
    assert connection.kept_size <= 100


@pytest.mark.parametrize(
    "publish",
    [
        publish_frames(1, bytes(BODY_SIZE)),
        publish_frames(1, b"x", header=properties(headers={"h": ("S", bytes(100_000))})),
        publish_frames(1, bytes(500), header=properties(headers={"h": ("S", bytes(900))})),
    ],
    ids=["body", "headers", "longest prefix"],
)
def test_a_repeated_publish_in_single_bytes_costs_what_its_prefix_costs(publish: bytes) -> None:
    connection = CountingConnection()
    list(connection.receive_data(publish))
    connection.trickle(publish)
    assert connection.kept_count <= PUBLICATION_CACHE_SIZE_MAX + 20
    assert connection.kept_size <= PUBLICATION_CACHE_SIZE_MAX**2
