"""No password, and no message, is in a log, an answer or an export, at debug level either."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from pamqp import commands

from tests.amqp_bytes import PROTOCOL_HEADER, longstr, properties, shortstr
from tests.conftest import EXTERNAL_URL
from tests.helpers import start_broker
from tests.management.http_api import HttpApi
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers import RunningBroker

pytestmark = pytest.mark.skipif(bool(EXTERNAL_URL), reason="reads the log of a broker of its own")

SECRETS: Final = {
    "default": "secret-default-pass",
    "right": "secret-of-a-user",
    "wrong": "secret-mistyped",
    "malformed": "secret-without-a-name",
    "imported": "secret-in-a-file",
    "key": "secret-of-a-key",
    "body": "secret-message",
    "header": "secret-header",
}


def forms(secret: str) -> set[str]:
    """Return how a secret could show: as it is, and in what Basic auth or a dump makes of it."""
    data = secret.encode()
    encoded = {base64.b64encode(bytes(skip) + data).decode()[4:-4] for skip in range(3)}
    return {secret, data.hex(), *encoded}


def fail_to_log_in(broker: RunningBroker, mechanism: str, response: bytes) -> str:
    """Return what comes back first, as text."""
    with closing(RawClient(broker)) as client:
        client.send(PROTOCOL_HEADER)
        client.read(commands.Connection.Start, 0)
        client.start_ok(response.decode("latin-1"), mechanism)
        return client.receive_frame().payload.decode("latin-1")


def talk_amqp(broker: RunningBroker) -> list[str]:
    """Log in rightly and wrongly, and publish; return the answers that are errors."""
    wrong, malformed = SECRETS["wrong"].encode(), SECRETS["malformed"].encode()
    table = shortstr("LOGIN") + b"S" + longstr(b"admin") + shortstr("PASSWORD") + b"S"
    answers = [
        fail_to_log_in(broker, "PLAIN", b"\0admin\0" + wrong),
        fail_to_log_in(broker, "PLAIN", malformed),
        fail_to_log_in(broker, "AMQPLAIN", table + longstr(wrong)),
        fail_to_log_in(broker, "AMQPLAIN", table + malformed),
        fail_to_log_in(broker, "SCRAM-SHA-256", b"n,,n=admin,p=" + wrong),
        fail_to_log_in(broker, "GUESSED", b"\0admin\0" + wrong),
    ]
    with closing(RawClient(broker)) as client:
        client.start()
        client.start_ok(f"\0admin\0{SECRETS['default']}")
        client.read(commands.Connection.Tune, 0)
        client.tune_ok()
        client.open()
        client.send_command(commands.Connection.UpdateSecret(SECRETS["right"], "it expires"), 0)
        client.read(commands.Connection.UpdateSecretOk, 0)
        client.open_channel()
        queue = client.declare()
        header = properties(headers={"x": ("S", SECRETS["header"])}, expiration="never")
        client.publish(queue, SECRETS["body"].encode(), header=header)
        answers.append(str(client.read(commands.Channel.Close).reply_text))
    return answers


def talk_http(broker: RunningBroker) -> list[str]:
    """Make users and mistakes; return all answers."""
    api = HttpApi(broker.host, broker.management_port, "/", "admin", SECRETS["default"])
    user = {"name": "u", "password": SECRETS["imported"], "tags": ""}
    calls = [
        api("PUT", "/users/u", {"password": SECRETS["right"], "tags": ""}),
        api("PUT", "/users/u", {"password": SECRETS["right"]}),
        api("PUT", "/users/u", {"password": [SECRETS["right"]], "tags": ""}),
        api("PUT", "/users/u", f'{{"password": "{SECRETS["right"]}", tags'.encode()),
        api.as_user("admin", SECRETS["wrong"])("GET", "/whoami"),
        api("POST", "/definitions", {"users": [user]}),
        api("POST", "/definitions", {"users": [{**user, "password": [SECRETS["imported"]]}]}),
        api("POST", "/definitions", {"users": [{**user, "limits": {"x": 1}}]}),
        api("POST", "/definitions", {"users": [{**user, "name": 5}]}),
        api("GET", "/definitions"),
        api("GET", "/users"),
    ]
    return [json.dumps(call.body, default=repr) for call in calls]


def test_no_secret_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with (
        path.open("w") as log,
        start_broker(
            log,
            log_level="debug",
            default_user="admin",
            default_pass=SECRETS["default"],
            tls_key_password=SECRETS["key"],
            auth_mechanisms="PLAIN,AMQPLAIN,SCRAM-SHA-256",
            login_failure_delay_s=0.01,
        ) as broker,
    ):
        answers = [*talk_amqp(broker), *talk_http(broker)]
    told = "\n".join([path.read_text(), *answers])
    assert "login refused" in told
    shown = {name for name, secret in SECRETS.items() if any(f in told for f in forms(secret))}
    assert not shown
