"""Tokens as passwords on a real broker (FEATURES A15.6, A1.14), over AMQP and HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from pamqp import commands

from tests.features.clients import pika
from tests.features.restarts import Restarts
from tests.features.test_docs_examples import DEFAULT_URL, blocks
from tests.helpers import DEADLINE_S, RunningBroker, start_broker
from tests.raw_client import RawClient
from tests.tokens import EVERYTHING, Issuer
from tests.web import Web, serve_web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER: Final = Issuer()
REFUSED: Final = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
    "For details see the broker logfile."
)

pytestmark = pytest.mark.deviates("needs a broker that knows the issuer")


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with serve_web() as web:
        web.answer = lambda _request: (200, ISSUER.jwks)
        yield web


@pytest.fixture(scope="module")
def token_broker(web: Web) -> Iterator[RunningBroker]:
    """A broker that fetches keys and asks its own users second."""
    settings = {
        "auth_backends": "oauth2,internal",
        "oauth2_resource_server_id": "rabbitmq",
        "oauth2_jwks_url": f"{web.url}/keys",
        "oauth2_scope_aliases": json.dumps({"boss": "rabbitmq.tag:administrator"}),
        "login_failure_delay_s": 0.05,
    }
    with start_broker(**settings) as broker:
        yield broker


def connect(broker: RunningBroker, token: str) -> RawClient:
    client = RawClient(broker)
    client.start()
    client.start_ok(f"\0\0{token}")
    client.read(commands.Connection.Tune, 0)
    client.tune_ok()
    client.open()
    client.open_channel()
    return client


def get(broker: RunningBroker, path: str, token: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(broker.host, broker.management_port, DEADLINE_S)
    connection.request("GET", f"/api{path}", headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def test_pika_logs_in_with_a_token(token_broker: RunningBroker, web: Web) -> None:
    credentials = pika.PlainCredentials("", ISSUER.token())
    parameters = pika.ConnectionParameters(
        token_broker.host, token_broker.port, credentials=credentials
    )
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"hello")
    assert channel.basic_get(queue, auto_ack=True)[2] == b"hello"
    connection.close()
    assert [request.path for request in web.requests] == ["/keys"]


def test_the_next_backend_is_asked_for_passwords(token_broker: RunningBroker) -> None:
    client = RawClient(token_broker)
    client.login()
    client.close()


def test_scopes_are_permissions(token_broker: RunningBroker) -> None:
    scopes = ["rabbitmq.configure:%2F/ann-*", "rabbitmq.write:%2F/amq.*"]
    client = connect(token_broker, ISSUER.token(scopes))
    client.declare("ann-1")
    client.send_command(commands.Queue.Declare(queue="bob-1"), 1)
    close = client.read(commands.Channel.Close)
    assert close.reply_text == (
        "ACCESS_REFUSED - configure access to queue 'bob-1' in vhost '/' refused for user 'ann'"
    )
    client.close()


def test_a_topic_needs_a_third_part(token_broker: RunningBroker) -> None:
    client = connect(token_broker, ISSUER.token([*EVERYTHING, "rabbitmq.write:*/*/a.*"]))
    client.publish("a.b", b"1", exchange="amq.topic")
    client.publish("b", b"1", exchange="amq.topic")
    close = client.read(commands.Channel.Close)
    assert close.reply_text == (
        "ACCESS_REFUSED - write access to topic 'b' in exchange 'amq.topic' in vhost '/' "
        "refused for user 'ann'"
    )
    client.close()


@pytest.mark.parametrize(
    "token",
    [Issuer().token(), ISSUER.token(aud="other"), ISSUER.token(lifetime_s=-1), "no.token.at all"],
    ids=["another issuer", "another audience", "too late", "no token"],
)
def test_a_bad_token_is_refused_without_a_reason(token_broker: RunningBroker, token: str) -> None:
    client = RawClient(token_broker)
    client.start()
    client.start_ok(f"\0ann\0{token}")
    client.expect_connection_error(403, REFUSED)
    client.close()
    assert get(token_broker, "/overview", token) == (
        401,
        {"error": "not_authorized", "reason": "Login failed"},
    )


def test_a_token_without_the_vhost(token_broker: RunningBroker) -> None:
    client = RawClient(token_broker)
    client.start()
    client.start_ok(f"\0\0{ISSUER.token('rabbitmq.read:other/*')}")
    client.read(commands.Connection.Tune, 0)
    client.tune_ok()
    client.send_command(commands.Connection.Open(), 0)
    close = client.read(commands.Connection.Close, 0)
    assert close.reply_text == "NOT_ALLOWED - access to vhost '/' refused for user 'ann'"
    client.close()


def test_the_connection_ends_with_the_token(token_broker: RunningBroker) -> None:
    client = connect(token_broker, ISSUER.token(lifetime_s=2))
    assert client.read_close(320)[1] == "CONNECTION_FORCED - credential expired"
    client.close()


def test_it_goes_on_with_a_new_token(token_broker: RunningBroker) -> None:
    client = connect(token_broker, ISSUER.token(lifetime_s=2))
    client.declare("ann-2")
    new = ISSUER.token(["rabbitmq.configure:*/*"], lifetime_s=60)
    client.send_command(commands.Connection.UpdateSecret(new, "renewed"), 0)
    client.read(commands.Connection.UpdateSecretOk, 0)
    client.declare("ann-3")
    client.send_command(commands.Basic.Get(queue="ann-2"), 1)
    assert client.read(commands.Channel.Close).reply_code == 403
    client.close()


def test_a_new_token_of_somebody_else_ends_it(token_broker: RunningBroker) -> None:
    client = connect(token_broker, ISSUER.token())
    other = ISSUER.token(sub="bob")
    client.send_command(commands.Connection.UpdateSecret(other, "renewed"), 0)
    text = "NOT_ALLOWED - New secret was refused by one of the backends"
    client.expect_connection_error(530, text, (10, 70))
    client.close()


def test_the_management_api_takes_tokens(token_broker: RunningBroker) -> None:
    boss = ISSUER.token([*EVERYTHING, "rabbitmq.tag:management", "boss"])
    me = {"name": "ann", "tags": ["administrator", "management"]}
    assert get(token_broker, "/whoami", boss) == (200, me)
    status, vhosts = get(token_broker, "/vhosts", boss)
    assert (status, [vhost["name"] for vhost in vhosts]) == (200, ["/"])
    status, reason = get(token_broker, "/overview", ISSUER.token())
    assert (status, reason["reason"]) == (401, "Not management user")
    manager = ISSUER.token(["rabbitmq.tag:management", "rabbitmq.read:other/*"])
    assert get(token_broker, "/queues/%2F", manager)[0] == 401


def test_tokens_are_in_no_log(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(ISSUER.jwks)
    settings = {
        "auth_backends": "oauth2,internal",
        "oauth2_resource_server_id": "rabbitmq",
        "oauth2_jwks_file": path,
        "login_failure_delay_s": 0.05,
        "log_level": "debug",
    }
    broker = Restarts(tmp_path / "data", **settings)
    good, bad = ISSUER.token(), Issuer().token()
    try:
        broker.start()
        for token in (good, bad):
            client = broker.dial()
            client.start()
            client.start_ok(f"\0\0{token}")
            client.read_frame(0)
        broker.stop()
        assert "signature_invalid" in broker.log
        for token in (good, bad):
            assert token not in broker.log
            assert token.split(".")[2] not in broker.log
    finally:
        broker.close()


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    make, use = blocks("oauth2.md", "py")
    settings, output = blocks("oauth2.md", "toml")[0], blocks("oauth2.md", "text")[0]

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(make)
    config = tmp_path / "broker.toml"
    config.write_text(settings.replace("jwks.json", str(tmp_path / "jwks.json")))
    with start_broker(config_file=config) as broker:
        assert run(use.replace(DEFAULT_URL, broker.url())) == output


def test_a_setting_that_is_missing_ends_the_start(tmp_path: Path) -> None:
    broker = Restarts(tmp_path, auth_backends="oauth2")
    code, log = broker.start_in_vain()
    assert code == 1
    assert "cannot start: auth_backends lists oauth2: set oauth2_resource_server_id" in log
