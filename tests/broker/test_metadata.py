"""What a vhost says of itself."""

from __future__ import annotations

import pytest

from amqpbroker.broker.metadata import VHostMetadata
from tests.broker.client import make_broker


@pytest.mark.parametrize(
    "metadata", [VHostMetadata(), VHostMetadata("hall", ("a", "b"), "classic")]
)
def test_the_catalog_keeps_it(metadata: VHostMetadata) -> None:
    assert VHostMetadata.from_json(metadata.to_json()) == metadata


def test_what_was_stored_before_there_was_any_is_empty() -> None:
    assert VHostMetadata.from_json("{}") == VHostMetadata()


def test_new_vhosts_get_the_type_of_the_configuration() -> None:
    """A4.12."""
    broker = make_broker(default_queue_type="classic")
    assert broker.vhosts["/"].metadata == VHostMetadata(default_queue_type="classic")
