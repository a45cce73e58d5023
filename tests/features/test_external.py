"""Logging in with a certificate, by every name in it (FEATURES A15.3)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from tests.features.clients import pika
from tests.helpers import start_broker

if TYPE_CHECKING:
    from pathlib import Path

DNS: Final = {
    "ssl_cert_login_from": "subject_alternative_name",
    "ssl_cert_login_san_type": "dns",
    "ssl_cert_login_san_index": 1,
}
EMAIL: Final = {"ssl_cert_login_from": "subject_alt_name", "ssl_cert_login_san_type": "email"}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"ssl_cert_login_from": "common_name"}, "ann"),
        (DNS, "two.example"),
        (EMAIL, "ann@example.com"),
    ],
)
def test_the_name_in_the_certificate_is_the_user(
    settings: dict[str, object], name: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    server, client = (
        authority.issue_cert("127.0.0.1"),
        authority.issue_cert("one.example", "ann@example.com", "two.example", common_name="ann"),
    )
    paths = {part: tmp_path / f"{part}.pem" for part in ("cert", "key", "ca", "client")}
    server.cert_chain_pems[0].write_to_path(paths["cert"])
    server.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["ca"])
    client.private_key_and_cert_chain_pem.write_to_path(paths["client"])
    tls = {f"tls_{part}": paths[part] for part in ("cert", "key", "ca")}
    with start_broker(tls_port=0, auth_mechanisms="EXTERNAL,PLAIN", **tls, **settings) as broker:
        api = broker.management
        api.request("PUT", f"/users/{name}", {"password_hash": "", "tags": ""})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        api.request("PUT", f"/permissions/%2f/{name}", everything)
        context = ssl.create_default_context(cafile=str(paths["ca"]))
        context.load_cert_chain(paths["client"])
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                broker.host,
                broker.tls_port,
                credentials=pika.credentials.ExternalCredentials(),
                ssl_options=pika.SSLOptions(context, "127.0.0.1"),
            )
        )
        (row,) = api.request("GET", "/connections")
        assert (row["user"], row["auth_mechanism"]) == (name, "EXTERNAL")
        connection.close()
