"""Fast paths find whole frames only where all is regular."""

from __future__ import annotations

import struct

import pytest

from amqpbroker.wire.runs import publish_frames, repeated_bodies, run_of_acks
from tests.amqp_bytes import METHOD, properties, raw_frame
from tests.wire.peer import (
    FRAME_SIZE_MAX,
    ack_frame,
    body_frame,
    header_frame,
    publish_frame,
)

METHOD_FRAME, HEADER, BODY = publish_frame(7), header_frame(7, 3), body_frame(7, b"xyz")
HEADER_AT = len(METHOD_FRAME)
BODY_AT = HEADER_AT + len(HEADER)
WHOLE = METHOD_FRAME + HEADER + BODY
LARGE = FRAME_SIZE_MAX - 8


def found(data: bytes, pos: int = 0) -> tuple[int, int, int, int] | None:
    """Look for a publish within the usual limit."""
    return publish_frames(data, pos, FRAME_SIZE_MAX)


def test_a_whole_publish_is_found_wherever_it_lies() -> None:
    assert found(WHOLE) == (7, HEADER_AT, BODY_AT, len(WHOLE))
    assert found(b"before" + WHOLE + b"behind", 6) == (
        7,
        HEADER_AT + 6,
        BODY_AT + 6,
        len(WHOLE) + 6,
    )


@pytest.mark.parametrize("size", range(11, len(WHOLE)))
def test_a_publish_is_whole_or_not_found(size: int) -> None:
    assert found(WHOLE[:size]) is None


@pytest.mark.parametrize(
    "frames",
    [
        [b"\x02" + METHOD_FRAME[1:], HEADER, BODY],
        [METHOD_FRAME[:-1] + b"\xcd", HEADER, BODY],
        [METHOD_FRAME, HEADER[:-1] + b"\xcd", BODY],
        [METHOD_FRAME, HEADER, BODY[:-1] + b"\xcd"],
        [METHOD_FRAME, header_frame(8, 3), BODY],
        [METHOD_FRAME, HEADER, body_frame(8, b"xyz")],
        [METHOD_FRAME, header_frame(7, 3, class_id=50), BODY],
        [METHOD_FRAME, header_frame(7, 3, weight=1), BODY],
        [METHOD_FRAME, header_frame(7, 4), BODY + bytes(9)],
        [METHOD_FRAME, header_frame(7, 2), BODY],
        [METHOD_FRAME, header_frame(7, 3, b""), BODY],
        [METHOD_FRAME, header_frame(7, 0), body_frame(7, b"")],
        [METHOD_FRAME, raw_frame(METHOD, 7, HEADER[7:-1]), BODY],
        [METHOD_FRAME, HEADER, raw_frame(METHOD, 7, b"xyz")],
        [METHOD_FRAME, header_frame(7, 2**64 - 1), BODY],
    ],
)
def test_a_publish_with_anything_odd_is_not_found(frames: list[bytes]) -> None:
    assert found(b"".join(frames)) is None


def test_a_publish_of_the_largest_frames_is_found() -> None:
    header = header_frame(7, LARGE, properties(headers={"h": ("S", bytes(LARGE - 25))}))
    assert len(header) == FRAME_SIZE_MAX
    assert found(METHOD_FRAME + header + body_frame(7, bytes(LARGE)))


@pytest.mark.parametrize("odd", ["method", "header", "body"])
def test_frames_over_the_limit_are_left_to_the_slow_path(odd: str) -> None:
    method = raw_frame(METHOD, 7, bytes(LARGE + 1)) if odd == "method" else METHOD_FRAME
    size = LARGE + (odd == "body")
    raw = bytes(LARGE - 12 + 1) if odd == "header" else properties()
    assert found(method + header_frame(7, size, raw) + body_frame(7, bytes(size))) is None


def test_repeated_bodies_end_where_the_prefix_does() -> None:
    prefix = WHOLE[: BODY_AT + 7]
    data = b"".join(prefix + body + b"\xce" for body in (b"abc", b"def")) + ack_frame(7, 1)
    assert repeated_bodies(data, 0, prefix, 3) == ([b"abc", b"def"], 2 * len(WHOLE))
    assert repeated_bodies(data, len(WHOLE), prefix, 3) == ([b"def"], 2 * len(WHOLE))
    assert repeated_bodies(data, 1, prefix, 3) == ([], 1)


def test_repeated_bodies_are_whole_and_well_ended() -> None:
    prefix = WHOLE[: BODY_AT + 7]
    assert repeated_bodies(WHOLE + WHOLE[:-1], 0, prefix, 3) == ([b"xyz"], len(WHOLE))
    assert repeated_bodies(WHOLE + WHOLE[:-1] + b"\xcd", 0, prefix, 3) == ([b"xyz"], len(WHOLE))


def test_a_run_of_acks_ends_at_any_other_frame() -> None:
    run = ack_frame(7, 1) + ack_frame(7, 2**64 - 1)
    size = len(ack_frame(7, 1))
    for other in (b"", ack_frame(8, 3), ack_frame(7, 3, 1), ack_frame(7, 3)[:-1], BODY):
        assert run_of_acks(run + other, 0) == ([1, 2**64 - 1], 2 * size)
    assert run_of_acks(run + ack_frame(7, 3)[:-1] + struct.pack(">B", 0xCD), size) == (
        [2**64 - 1],
        2 * size,
    )
