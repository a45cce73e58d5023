"""A broker with TLS as a process (FEATURES A16.3)."""

from __future__ import annotations

import http.client
import signal
import ssl
from contextlib import closing
from typing import TYPE_CHECKING

import trustme

from tests.helpers import DEADLINE_S, start_broker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path


def test_a_hang_up_reads_the_certificate_and_ends_nothing(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    with start_broker(tls_port=0, tls_cert=cert, tls_key=key) as broker:
        assert broker.process is not None
        client = RawClient(broker)
        client.login()
        broker.process.send_signal(signal.SIGHUP)
        client.tune_ok()
        client.open()
        client.close_connection()
        later = RawClient(broker)
        later.login()
        later.close()


def test_the_api_over_tls_shows_a_renewed_certificate(tmp_path: Path) -> None:
    # A16.1, A16.3
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)

    def renew() -> bytes:
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def shown(port: int) -> bytes | None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=DEADLINE_S, context=context
        )
        with closing(connection):
            connection.request("GET", "/api/whoami")
            assert connection.getresponse().status == 401
            certificate: bytes | None = connection.sock.getpeercert(binary_form=True)
            return certificate

    first = renew()
    with start_broker(management_tls_port=0, tls_cert=cert, tls_key=key) as broker:
        port = broker.management_tls_port
        assert shown(port) == first
        second = renew()
        assert broker.process is not None
        broker.process.send_signal(signal.SIGHUP)
        while (certificate := shown(port)) == first:
            pass
        assert certificate == second
