"""AMQP errors as HTTP answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.errors import (
    AmqpError,
    access_refused,
    not_allowed,
    not_found,
    precondition_failed,
    resource_locked,
)
from amqpbroker.management.errors import ApiError, of_get, of_publish, of_topology

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("turn", "error", "answer"),
    [
        (of_topology, access_refused("x"), (401, "not_authorised", "Access refused.")),
        (of_topology, not_found("no x"), (404, "not_found", "no x")),
        (of_topology, resource_locked("x"), (400, "bad_request", "x")),
        (of_topology, precondition_failed("x"), (400, "bad_request", "x")),
        (of_topology, not_allowed("x"), (400, "bad_request", "x")),
        (of_get, access_refused("x"), (401, "not_authorised", "ACCESS_REFUSED - x")),
        (of_get, not_found("x"), (404, "not_found", "NOT_FOUND - x")),
        (of_get, resource_locked("x"), (400, "bad_request", "405 RESOURCE_LOCKED - x")),
        (of_publish, access_refused("x"), (400, "bad_request", "403 ACCESS_REFUSED - x")),
        (of_publish, not_found("x"), (400, "bad_request", "404 NOT_FOUND - x")),
    ],
)
def test_answers(
    turn: Callable[[AmqpError], ApiError], error: AmqpError, answer: tuple[int, str, str]
) -> None:
    turned = turn(error)
    assert (turned.status, turned.error, turned.reason) == answer
