"""Clients behind a proxy (FEATURES A1.18), over real sockets, with TLS and without."""

from __future__ import annotations

import ssl
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from amqpbroker.proxy_protocol import SIGNATURE
from tests.amqp_bytes import PROTOCOL_HEADER
from tests.helpers import RunningBroker, start_broker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FROM_HERE: Final = b"PROXY TCP4 127.0.0.9 127.0.0.1 50000 5672\r\n"
FROM_AFAR: Final = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 5672\r\n"

pytestmark = pytest.mark.deviates("needs a broker that is set to it")


@pytest.fixture(scope="module")
def behind() -> Iterator[RunningBroker]:
    """A broker behind a proxy."""
    with start_broker(
        proxy_protocol="true", handshake_timeout_s=2, login_failure_delay_s=0.05
    ) as broker:
        yield broker


def test_a_client_is_shown_as_the_proxy_says(behind: RunningBroker) -> None:
    client = RawClient(behind)
    client.send(FROM_HERE)
    client.login()
    client.tune_ok()
    client.open()
    client.open_channel()
    client.publish(client.declare(exclusive=True), b"x")
    (row,) = behind.management.request("GET", "/connections")
    assert (row["name"], row["peer_host"], row["peer_port"]) == (
        "127.0.0.9:50000 -> 127.0.0.1:5672",
        "127.0.0.9",
        50000,
    )
    client.close()


def test_a_client_from_afar_is_not_local_because_its_proxy_is(behind: RunningBroker) -> None:
    # A1.19: guest may come from this machine only.
    client = RawClient(behind)
    client.send(FROM_AFAR)
    client.start()
    client.start_ok()
    assert client.read_close(403)
    client.close()


def test_a_proxy_may_speak_for_itself(behind: RunningBroker) -> None:
    client = RawClient(behind)
    client.send(SIGNATURE + struct.pack(">BBH", 0x20, 0, 0))
    client.login()
    client.close()


@pytest.mark.parametrize("data", [PROTOCOL_HEADER + b"pad!", b"PROXY TCP4 nonsense\r\n"])
def test_who_does_not_come_through_a_proxy_is_hung_up_on(
    behind: RunningBroker, data: bytes
) -> None:
    client = RawClient(behind)
    client.send(data)
    assert client.receive_to_end() == b""
    client.close()


def test_a_header_that_does_not_come_is_not_waited_for(behind: RunningBroker) -> None:
    client = RawClient(behind)
    client.send(b"PROXY TC")
    assert client.receive_to_end() == b""
    client.close()


def test_the_header_stands_before_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    settings = {"tls_port": 0, "tls_cert": cert, "tls_key": key, "proxy_protocol": "true"}
    with start_broker(**settings) as broker:
        client = RawClient(replace(broker, port=broker.tls_port))
        client.send(FROM_HERE)
        client._socket = context.wrap_socket(client._socket, server_hostname="127.0.0.1")
        client.login()
        client.tune_ok()
        client.open()
        (row,) = broker.management.request("GET", "/connections")
        assert (row["peer_host"], row["ssl"]) == ("127.0.0.9", True)
        client.close()
