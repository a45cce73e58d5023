"""Fixtures of the tests of the management API."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.features.conftest import client, connect, dial
from tests.management.http_api import HttpApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.features.conftest import Connect
    from tests.helpers import RunningBroker
    from tests.raw_client import RawClient

__all__ = ("client", "connect", "dial")


@pytest.fixture(scope="session")
def api(broker: RunningBroker) -> HttpApi:
    """The API of the broker under test, as an administrator."""
    return HttpApi(broker.host, broker.management_port, broker.vhost)


@pytest.fixture
def queue(api: HttpApi, name: str) -> str:
    """A queue made over HTTP."""
    assert api("PUT", f"/queues/{{v}}/{name}", {}).status == 201
    return name


@pytest.fixture
def exchange(api: HttpApi, name: str) -> str:
    """A topic exchange made over HTTP."""
    assert api("PUT", f"/exchanges/{{v}}/x-{name}", {"type": "topic"}).status == 201
    return f"x-{name}"


class Connected(NamedTuple):
    """An AMQP client and the name of its connection."""

    client: RawClient
    connection: str


@pytest.fixture
def connected(api: HttpApi, connect: Connect) -> Connected:
    """A client with channel 1 open."""
    before = {item["name"] for item in api.get("/connections")}
    client = connect()
    (connection,) = {item["name"] for item in api.get("/connections")} - before
    return Connected(client, connection)


@pytest.fixture
def manager(api: HttpApi, name: str) -> Iterator[HttpApi]:
    """The API as a user with the tag management and no permissions yet."""
    assert api("PUT", f"/users/u-{name}", {"password": "p", "tags": "management"}).status == 201
    yield api.as_user(f"u-{name}", "p")
    assert api("DELETE", f"/users/u-{name}").status == 204


@pytest.fixture
def vhost(api: HttpApi, name: str) -> Iterator[str]:
    """A vhost of its own."""
    assert api("PUT", f"/vhosts/{name}", {}).status == 201
    yield name
    assert api("DELETE", f"/vhosts/{name}").status == 204
