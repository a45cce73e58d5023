"""Logging in by a challenge: SCRAM over connection.secure (FEATURES A1.6, A15.5, S161)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import scramp  # type: ignore[import-untyped]
from pamqp import commands

from tests.features.restarts import Restarts
from tests.features.test_docs_examples import DEFAULT_URL, PAGES, examples
from tests.helpers import RunningBroker, start_broker
from tests.management.http_api import HttpApi
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Challenge = commands.Connection.Secure
MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
REFUSED: Final = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism SCRAM-SHA-256. "
    "For details see the broker logfile."
)
INVALID: Final = "SYNTAX_ERROR - SCRAM-SHA-256 response is invalid"
START_OK: Final = (10, 11)
SECURE_OK: Final = (10, 21)

pytestmark = pytest.mark.deviates("RabbitMQ has no SCRAM for AMQP 0-9-1")


@pytest.fixture(scope="module")
def scram_broker() -> Iterator[RunningBroker]:
    """A broker that offers SCRAM, first of all."""
    mechanisms = ",".join([*MECHANISMS, "PLAIN"])
    with start_broker(auth_mechanisms=mechanisms, login_failure_delay_s=0.05) as broker:
        yield broker


@pytest.fixture
def dial(scram_broker: RunningBroker) -> Iterator[Callable[[], RawClient]]:
    """Open TCP connections that have said nothing yet."""
    clients: list[RawClient] = []

    def dial() -> RawClient:
        clients.append(RawClient(scram_broker))
        return clients[-1]

    yield dial
    for client in clients:
        client.close()


def secure_ok(client: RawClient, response: str) -> None:
    client.send_command(commands.Connection.SecureOk(response), 0)


def begin(client: RawClient, user: str, password: str, mechanism: str = "SCRAM-SHA-256") -> Any:
    """Send the first message and take the first challenge; return the client's side of SCRAM."""
    client.start()
    exchange = scramp.ScramClient([mechanism], user, password)
    client.start_ok(exchange.get_client_first(), mechanism)
    exchange.set_server_first(client.read(Challenge, 0).challenge)
    return exchange


def finish(client: RawClient, exchange: Any) -> None:
    """Prove the password, have the broker prove that it knows it, and get connection.tune."""
    secure_ok(client, exchange.get_client_final())
    exchange.set_server_final(client.read(Challenge, 0).challenge)
    secure_ok(client, "")
    client.read(commands.Connection.Tune, 0)


def test_mechanisms_are_offered_in_the_order_of_the_setting(dial: Callable[[], RawClient]) -> None:
    assert dial().start().mechanisms == "SCRAM-SHA-256 SCRAM-SHA-512 PLAIN"


def test_a_mechanism_that_is_not_in_the_setting_is_refused(dial: Callable[[], RawClient]) -> None:
    client = dial()
    client.start()
    client.start_ok("", "AMQPLAIN")
    text = "COMMAND_INVALID - invalid authentication mechanism 'AMQPLAIN'"
    client.expect_connection_error(503, text, START_OK)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_sides_prove_that_they_know_the_password(
    dial: Callable[[], RawClient], mechanism: str
) -> None:
    client = dial()
    finish(client, begin(client, "guest", "guest", mechanism))
    client.tune_ok()
    client.open()
    client.open_channel()
    client.publish(client.declare(exclusive=True), b"x")


def test_a_new_user_has_keys_for_scram(
    dial: Callable[[], RawClient], scram_broker: RunningBroker, name: str
) -> None:
    api = HttpApi(scram_broker.host, scram_broker.management_port, "/")
    assert api("PUT", f"/users/{name}", {"password": "pencil", "tags": ""}).status == 201
    client = dial()
    finish(client, begin(client, name, "pencil"))


@pytest.mark.parametrize(("user", "password"), [("guest", "wrong"), ("nobody", "guest")])
def test_a_wrong_password_and_an_unknown_user_look_the_same(
    dial: Callable[[], RawClient], user: str, password: str
) -> None:
    # The first challenge says nothing: a salt of the usual length, the usual number of rounds.
    client = dial()
    client.start()
    client.start_ok(f"n,,n={user},r=abc", "SCRAM-SHA-256")
    nonce, salt, iterations = str(client.read(Challenge, 0).challenge).split(",")
    assert nonce.startswith("r=abc")
    assert (len(salt), iterations) == (2 + 44, "i=32768")
    client = dial()
    exchange = begin(client, user, password)
    secure_ok(client, exchange.get_client_final())
    client.expect_connection_error(403, REFUSED)


def test_a_password_without_keys_fails_like_a_wrong_one(
    dial: Callable[[], RawClient], scram_broker: RunningBroker, name: str
) -> None:
    api = HttpApi(scram_broker.host, scram_broker.management_port, "/")
    guest = api.get("/users/guest")
    body = {"password_hash": guest["password_hash"], "tags": ""}
    body["hashing_algorithm"] = guest["hashing_algorithm"]
    assert api("PUT", f"/users/{name}", body).status == 201
    client = dial()
    exchange = begin(client, name, "guest")
    secure_ok(client, exchange.get_client_final())
    client.expect_connection_error(403, REFUSED)


def test_without_the_capability_a_failed_login_just_ends(dial: Callable[[], RawClient]) -> None:
    client = dial()
    client.start()
    exchange = scramp.ScramClient(["SCRAM-SHA-256"], "guest", "wrong")
    client.start_ok(exchange.get_client_first(), "SCRAM-SHA-256", {})
    exchange.set_server_first(client.read(Challenge, 0).challenge)
    secure_ok(client, exchange.get_client_final())
    assert client.receive_to_end() == b""


def test_a_wrong_nonce_is_refused(dial: Callable[[], RawClient]) -> None:
    client = dial()
    exchange = begin(client, "guest", "guest")
    binding, nonce, proof = exchange.get_client_final().split(",")
    secure_ok(client, f"{binding},{nonce}x,{proof}")
    client.expect_connection_error(502, INVALID, SECURE_OK)


def test_an_exchange_cannot_be_replayed(dial: Callable[[], RawClient]) -> None:
    client = dial()
    final = begin(client, "guest", "guest").get_client_final()
    other = dial()
    begin(other, "guest", "guest")
    secure_ok(other, final)
    other.expect_connection_error(502, INVALID, SECURE_OK)


@pytest.mark.parametrize("response", ["", "\0guest\0guest", "n,,n=guest", "p=x,,n=guest,r=abc"])
def test_a_malformed_first_message(dial: Callable[[], RawClient], response: str) -> None:
    client = dial()
    client.start()
    client.start_ok(response, "SCRAM-SHA-256")
    client.expect_connection_error(502, INVALID, START_OK)


@pytest.mark.parametrize("response", ["", "x", "c=biws", "c=biws,r=abc,p=", "c=,r=,p=YQ=="])
def test_a_malformed_proof(dial: Callable[[], RawClient], response: str) -> None:
    client = dial()
    begin(client, "guest", "guest")
    secure_ok(client, response)
    client.expect_connection_error(502, INVALID, SECURE_OK)


def test_the_last_answer_must_be_empty(dial: Callable[[], RawClient]) -> None:
    client = dial()
    exchange = begin(client, "guest", "guest")
    secure_ok(client, exchange.get_client_final())
    client.read(Challenge, 0)
    secure_ok(client, "x")
    client.expect_connection_error(502, INVALID, SECURE_OK)


def test_nothing_but_an_answer_may_follow_a_challenge(dial: Callable[[], RawClient]) -> None:
    client = dial()
    begin(client, "guest", "guest")
    client.tune_ok()
    assert client.read_close(504)[1].startswith("CHANNEL_ERROR")


def test_an_answer_that_nobody_asked_for(dial: Callable[[], RawClient]) -> None:
    client = dial()
    client.login()
    secure_ok(client, "")
    assert client.read_close(504)[1].startswith("CHANNEL_ERROR")


def test_the_example_for_pika_logs_in_where_there_is_nothing_but_scram(tmp_path: Path) -> None:
    page = next(page for page in PAGES if page.name == "authentication.md")
    (example,) = [each for each in examples(page) if "class Scram" in each.code]
    program = tmp_path / "example.py"
    with start_broker(auth_mechanisms="SCRAM-SHA-256") as broker:
        program.write_text(example.code.replace(DEFAULT_URL, broker.url()))
        done = subprocess.run(
            [sys.executable, program], capture_output=True, text=True, timeout=15, check=False
        )
    assert (done.stdout, done.stderr) == ("logged in\n", "")


def test_the_salt_of_an_unknown_user_outlives_a_restart(tmp_path: Path) -> None:
    # Else two starts would tell who exists: the salt of a real user stays.
    def salt(broker: Restarts) -> str:
        client = broker.dial()
        client.start()
        client.start_ok("n,,n=nobody,r=abc", "SCRAM-SHA-256")
        found = str(client.read(Challenge, 0).challenge).split(",")[1]
        client.close()
        return found

    broker = Restarts(tmp_path, auth_mechanisms="SCRAM-SHA-256,PLAIN")
    try:
        broker.start()
        before = salt(broker)
        broker.kill()
        broker.start()
        assert salt(broker) == before
    finally:
        broker.close()


def test_anonymous_clients_are_the_configured_user() -> None:
    # A15.4
    settings = {"auth_mechanisms": "ANONYMOUS,PLAIN", "anonymous_login_user": "guest"}
    with start_broker(**settings) as broker:
        client = RawClient(broker)
        assert client.start().mechanisms == "ANONYMOUS PLAIN"
        client.start_ok("trace@example.com", "ANONYMOUS")
        client.read(commands.Connection.Tune, 0)
        client.tune_ok()
        client.open()
        (connection,) = broker.management.request("GET", "/connections")
        assert (connection["user"], connection["auth_mechanism"]) == ("guest", "ANONYMOUS")
        client.close()


def test_nobody_is_anonymous_without_a_user_to_be() -> None:
    with start_broker(auth_mechanisms="ANONYMOUS,PLAIN") as broker:
        client = RawClient(broker)
        assert client.start().mechanisms == "PLAIN"
        client.close()


def test_a_name_writes_no_line_of_its_own_in_the_log(tmp_path: Path) -> None:
    broker = Restarts(tmp_path, login_failure_delay_s=0.05)
    try:
        broker.start()
        client = broker.dial()
        client.start()
        client.start_ok("\0x\n2026-01-01 INFO forged\0wrong")
        client.read_close(403)
        broker.stop()
        assert "user 'x\\n2026-01-01 INFO forged' - invalid credentials" in broker.log
        assert "\n2026-01-01 INFO forged" not in broker.log
    finally:
        broker.close()
