"""The manifest: its bytes, and that it is replaced whole or not at all."""

from __future__ import annotations

from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.batch import Damaged
from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.fake_disk import FakeDisk, PowerCut
from amqpbroker.storage.manifest import (
    Manifest,
    NewerFormat,
    decode_manifest,
    encode_manifest,
    load_manifest,
    store_manifest,
)
from amqpbroker.storage.ranges import Ranges

ranges = st.lists(st.builds(range, st.integers(0, 2**60), st.integers(0, 2**60)))
manifests = st.builds(Manifest, st.uuids(), st.integers(-1, 2**63), st.builds(Ranges, ranges))


@given(manifests)
def test_what_was_encoded_is_decoded(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(manifests, st.data())
def test_any_changed_byte_is_noticed(manifest: Manifest, draw: st.DataObject) -> None:
    data = bytearray(encode_manifest(manifest))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        decode_manifest(bytes(data))


def test_a_human_can_read_it() -> None:
    manifest = Manifest(UUID(int=1), 30, Ranges([range(10), range(15, 20)]))
    text = encode_manifest(manifest).splitlines()[0].decode()
    assert text == (
        '{"format": 1, "incarnation": "00000000-0000-0000-0000-000000000001", '
        '"floor": 30, "gone": [[0, 10], [15, 20]]}'
    )


def test_a_newer_format_is_told_from_damage() -> None:
    text = b'{"format": 2, "whatever": 1}'
    with pytest.raises(NewerFormat) as caught:
        decode_manifest(b"%s\n%08x\n" % (text, extend(0, text)))
    assert caught.value.args == (2,)


def test_first_and_dropped_follow_from_what_is_gone() -> None:
    manifest = Manifest(UUID(int=1), 30, Ranges([range(10), range(15, 20)]))
    assert manifest.first == 10
    assert manifest.dropped == [range(15, 20)]
    assert Manifest(UUID(int=1)).first == 0


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_crash_leaves_the_old_or_the_new_one(power_cut: bool) -> None:
    old, new = Manifest(UUID(int=1), 1), Manifest(UUID(int=1), 2)
    for operation in count():
        disk = FakeDisk(operation)
        store_manifest(disk, old)
        disk.cut_power_at = disk.operations + operation
        try:
            store_manifest(disk, new)
        except PowerCut:
            disk.restart(power_cut=power_cut)
            assert load_manifest(disk) in (old, new)
        else:
            disk.restart(power_cut=True)
            assert load_manifest(disk) == new
            return
