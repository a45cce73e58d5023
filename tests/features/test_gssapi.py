"""Logging in by a ticket of a real Kerberos realm (FEATURES A1.6, A15.5, S161).

Without Kerberos on the machine these are skipped; the rules are tested in tests/auth as well, with
a stand-in for the library.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from amqpbroker.auth.exceptions import AuthenticationFailed
from tests import kdc
from tests.amqp_bytes import METHOD, raw_frame
from tests.features.restarts import Restarts
from tests.features.test_docs_examples import blocks
from tests.helpers import RunningBroker, start_broker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URL: Final = "amqp://localhost:5672/"
PERMISSIONS: Final = {"configure": ".*", "write": ".*", "read": ".*"}
MISSING: Final = kdc.missing()

pytestmark = [
    pytest.mark.deviates("RabbitMQ has no GSSAPI for AMQP 0-9-1"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kdc.Realm]:
    with kdc.run_realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add_user("ann", "pencil")
        realm.add_user("ann/admin", "pencil")
        realm.add_user("stranger", "pencil")
        realm.add_keys("amqp/localhost", realm.folder / "amqp.keytab")
        yield realm


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "broker.log"


@pytest.fixture(scope="module")
def gssapi_broker(realm: kdc.Realm, log: Path) -> Iterator[RunningBroker]:
    """A broker of the realm, with a user for ann and one that is called like the other realm's."""
    with pytest.MonkeyPatch.context() as patch, log.open("w") as file:
        for name, value in realm.environment.items():
            patch.setenv(name, value)
        settings = {
            "auth_mechanisms": "GSSAPI,PLAIN",
            "auth_gssapi_keytab": realm.folder / "amqp.keytab",
            "login_failure_delay_s": 0.05,
        }
        with start_broker(file, **settings) as broker:
            api = broker.management
            api.request("PUT", "/users/ann", {"password_hash": "", "tags": ""})
            api.request("PUT", "/permissions/%2f/ann", PERMISSIONS)
            yield broker


def run(broker: RunningBroker, environment: dict[str, str]) -> str:
    """Run the client of the documentation page, and return what it prints."""
    (program,) = blocks("kerberos.md", "py")
    done = subprocess.run(
        [sys.executable, "-c", program.replace(URL, f"amqp://localhost:{broker.port}/")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_of_the_page_logs_in_with_a_ticket(
    realm: kdc.Realm, gssapi_broker: RunningBroker, log: Path
) -> None:
    (output,) = blocks("kerberos.md", "text")
    assert run(gssapi_broker, realm.tickets_of("ann", "pencil")) == output
    assert "user 'ann' opened vhost '/'" in log.read_text()


@pytest.mark.parametrize("principal", ["ann/admin", "stranger"])
def test_a_principal_that_is_no_user_is_refused(
    realm: kdc.Realm, gssapi_broker: RunningBroker, log: Path, principal: str
) -> None:
    shown = run(gssapi_broker, realm.tickets_of(principal, "pencil"))
    assert "ACCESS_REFUSED - Login was refused using authentication mechanism GSSAPI" in shown
    assert f"login refused, user '{principal}' - " in log.read_text()


def test_new_keys_are_read_from_the_keytab(realm: kdc.Realm, gssapi_broker: RunningBroker) -> None:
    realm.add_keys("amqp/localhost", realm.folder / "amqp.keytab")
    assert run(gssapi_broker, realm.tickets_of("ann", "pencil")) == "logged in\n"


def first_token(environment: dict[str, str], service: str = "amqp") -> bytes:
    """Return what a client that has a ticket sends first."""
    program = f"""
import sys, gssapi
name = gssapi.Name("{service}@localhost", gssapi.NameType.hostbased_service)
sys.stdout.buffer.write(gssapi.SecurityContext(name=name, usage="initiate").step())
"""
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, timeout=15, check=True
    ).stdout


@pytest.fixture
def dial(gssapi_broker: RunningBroker) -> Iterator[Callable[[], RawClient]]:
    clients: list[RawClient] = []

    def dial() -> RawClient:
        clients.append(RawClient(gssapi_broker))
        clients[-1].start()
        return clients[-1]

    yield dial
    for client in clients:
        client.close()


def present(client: RawClient, token: bytes) -> None:
    """Send a first token, without the capability to be told that it is no good."""
    fields = bytes(4) + b"\x06GSSAPI" + struct.pack(">I", len(token)) + token + b"\x05en_US"
    client.send(raw_frame(METHOD, 0, struct.pack(">HH", 10, 11) + fields))


def test_a_token_is_good_once(realm: kdc.Realm, dial: Callable[[], RawClient], log: Path) -> None:
    token = first_token(realm.tickets_of("ann", "pencil"))
    one, other = dial(), dial()
    present(one, token)
    assert one.read_frame(0).ids == (10, 20)
    present(other, token)
    assert other.receive_to_end() == b""
    assert "login refused, Kerberos: Request is a replay" in log.read_text()


def test_a_ticket_for_another_service_is_refused_though_its_key_is_here(
    realm: kdc.Realm, dial: Callable[[], RawClient], log: Path
) -> None:
    realm.add_keys("other/localhost", realm.folder / "amqp.keytab")
    client = dial()
    present(client, first_token(realm.tickets_of("ann", "pencil"), "other"))
    assert client.receive_to_end() == b""
    assert "other/localhost@EXAMPLE.TEST found in keytab but does not match" in log.read_text()


@pytest.mark.parametrize("data", [b"x", b"\x60\x06\x06", bytes(4000)])
def test_what_is_no_token_is_a_failed_login(
    dial: Callable[[], RawClient], log: Path, data: bytes
) -> None:
    client = dial()
    present(client, data)
    assert client.receive_to_end() == b""
    assert "login refused, Kerberos: " in log.read_text()
    assert "internal error" not in log.read_text()


def test_a_token_with_any_byte_changed_is_nobody_elses(
    realm: kdc.Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Names in the token are text of the reason, and need not be UTF-8.
    from amqpbroker.auth.kerberos import Acceptor

    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    acceptor = Acceptor("amqp", realm.folder / "amqp.keytab")
    token = first_token(realm.tickets_of("ann", "pencil"))
    for at in range(len(token)):
        for byte in (0x00, 0xFF, token[at] ^ 1):
            changed = token[:at] + bytes([byte]) + token[at + 1 :]
            context = acceptor.open_context()
            with contextlib.suppress(AuthenticationFailed):
                context.accept(changed)
                assert context.initiator in (b"", b"ann@EXAMPLE.TEST")  # not all is sealed


def test_without_a_key_of_the_service_the_broker_does_not_start(
    realm: kdc.Realm, tmp_path: Path
) -> None:
    keytab = realm.folder / "amqp.keytab"
    settings = {"auth_gssapi_keytab": keytab, "auth_gssapi_service": "mq"}
    code, log = Restarts(tmp_path, auth_mechanisms="GSSAPI", **settings).start_in_vain()
    assert code == 1
    assert f"auth_mechanisms lists GSSAPI: {keytab} has no key of service 'mq'" in log
    assert "No key table entry found" in log
