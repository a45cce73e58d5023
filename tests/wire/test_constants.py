"""The numbers agree with pamqp, which is generated from the specification."""

from __future__ import annotations

from pamqp import commands, constants, header

from amqpbroker.wire import constants as ours


def test_frame_numbers_agree_with_pamqp() -> None:
    assert ours.FRAME_METHOD == constants.FRAME_METHOD
    assert ours.FRAME_HEADER == constants.FRAME_HEADER
    assert ours.FRAME_BODY == constants.FRAME_BODY
    assert ours.FRAME_HEARTBEAT == constants.FRAME_HEARTBEAT
    assert ours.FRAME_END == constants.FRAME_END


def test_frame_sizes_agree_with_pamqp() -> None:
    assert ours.FRAME_SIZE_MIN == constants.FRAME_MIN_SIZE
    assert ours.FRAME_OVERHEAD_SIZE == constants.FRAME_HEADER_SIZE + 1
    assert ours.FRAME_SIZE_MIN <= ours.HANDSHAKE_FRAME_SIZE_MAX <= constants.FRAME_MAX_SIZE


def test_the_protocol_header_is_pamqps() -> None:
    assert header.ProtocolHeader().marshal() == ours.PROTOCOL_HEADER
    assert len(ours.PROTOCOL_HEADER_0_9) == len(ours.PROTOCOL_HEADER)


def test_the_class_of_content_is_basic() -> None:
    assert commands.Basic.frame_id == ours.CLASS_BASIC
