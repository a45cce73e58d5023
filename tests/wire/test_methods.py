"""Every method against pamqp's, which is generated from the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp import base, commands, frame

from amqpbroker.wire.codec import METHODS, Method, decode_method, encode_method
from amqpbroker.wire.methods import AccessRequest, AccessRequestOk
from amqpbroker.wire.table import Field
from tests.amqp_bytes import method_frame
from tests.wire.strategies import integers, utf8_names

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

THEIRS: dict[int, type[base.Frame]] = commands.INDEX_MAPPING
SHARED = [pytest.param(METHODS[index], id=METHODS[index].method_name) for index in THEIRS]

PAIRS: dict[str, SearchStrategy[tuple[Any, Any]]] = {
    "octet": integers(8).map(lambda value: (value, value)),
    "short": integers(16).map(lambda value: (value, value)),
    "long": integers(32).map(lambda value: (value, value)),
    "longlong": st.integers(0, 2**63 - 1).map(lambda value: (value, value)),
    "bit": st.booleans().map(lambda value: (value, value)),
    "shortstr": utf8_names().map(lambda value: (value, value)),
    "longstr": utf8_names().map(lambda value: (value.encode(), value)),
    "table": st.sampled_from(
        [
            ({}, {}),
            ({"t": Field("t", True), "u": Field("S", b"x")}, {"t": True, "u": "x"}),
            ({"a": Field("A", (Field("V", None), Field("b", -1)))}, {"a": [None, -1]}),
            ({"f": Field("F", {"I": Field("I", 2**30)})}, {"f": {"I": 2**30}}),
        ]
    ),
}
"""Wire type → (our value, pamqp's value) where pamqp loses nothing."""


def marshal(command: base.Frame, number: int) -> bytes:
    """Marshal without pamqp's own ideas of which names and reserved values are allowed."""
    with mock.patch.object(type(command), "validate"):
        return frame.marshal(command, number)


def test_there_are_pamqps_methods_and_access_request() -> None:
    extra = METHODS.keys() - THEIRS.keys()
    assert {METHODS[index] for index in extra} == {AccessRequest, AccessRequestOk}
    assert THEIRS.keys() <= METHODS.keys()


@pytest.mark.parametrize("cls", SHARED)
def test_names_and_wire_types_are_pamqps(cls: type[Method]) -> None:
    theirs = THEIRS[cls.class_id << 16 | cls.method_id]
    assert cls.method_name.replace("_", "").replace(".", "") == theirs.name.replace(".", "").lower()
    assert [wire_type for _, wire_type in cls.wire_types] == [
        theirs.amqp_type(name) for name in theirs.attributes()
    ]


@pytest.mark.filterwarnings("ignore:This command is deprecated:DeprecationWarning")
@pytest.mark.parametrize("cls", SHARED)
@settings(max_examples=20, suppress_health_check=[HealthCheck.differing_executors])
@given(st.data())
def test_bytes_are_pamqps(cls: type[Method], data: st.DataObject) -> None:
    theirs = THEIRS[cls.class_id << 16 | cls.method_id]()
    pairs = [data.draw(PAIRS[wire_type]) for _, wire_type in cls.wire_types]
    for name, (_, value) in zip(theirs.attributes(), pairs, strict=True):
        setattr(theirs, name, value)
    ours = cls(*[value for value, _ in pairs])
    number = data.draw(st.integers(0, 65535))
    expected = marshal(theirs, number)
    assert encode_method(number, ours) == expected
    assert decode_method(expected[7:-1]) == ours
    size, channel, back = frame.unmarshal(encode_method(number, ours))
    assert isinstance(back, base.Frame)
    assert (size, channel, dict(back)) == (len(expected), number, dict(theirs))


def test_access_request_has_the_bytes_of_amqp_0_9() -> None:
    request = AccessRequest("/data", True, False, False, True, True)
    arguments = b"\x05/data" + b"\x19"
    assert encode_method(1, request) == method_frame(1, 30, 10, arguments)
    assert encode_method(1, AccessRequestOk()) == method_frame(1, 30, 11, b"\x00\x01")
