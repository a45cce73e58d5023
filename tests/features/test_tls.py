"""A broker with TLS as a process (FEATURES A16.3)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trustme

from tests.helpers import start_broker
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
