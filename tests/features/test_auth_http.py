"""A service that decides, on a real broker (FEATURES A15.7)."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from pamqp import commands

from tests.features.clients import pika
from tests.features.restarts import Restarts
from tests.features.test_docs_examples import DEFAULT_URL, blocks
from tests.helpers import RunningBroker, start_broker
from tests.management.http_api import HttpApi
from tests.raw_client import RawClient
from tests.web import Request, Web, serve_web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATHS: Final = ("user", "vhost", "resource", "topic")
USERS: Final = {"ann": "", "boss": "administrator", "viewer": "management"}

pytestmark = pytest.mark.deviates("needs a broker that knows the service")


class Service:
    """Knows three users, whose password is their name; all may do what begins with their name."""

    def __init__(self, web: Web) -> None:
        self.web = web
        web.answer = self.answer
        self.is_down = False

    def answer(self, request: Request) -> tuple[int, bytes]:
        if self.is_down:
            return 503, b"allow"
        return 200, self.words(request.path.removeprefix("/auth/"), request.parameters).encode()

    def words(self, question: str, values: dict[str, str]) -> str:
        name = values["username"]
        if question == "user":
            return f"allow {USERS[name]}" if values["password"] == name in USERS else "deny"
        if question == "vhost":
            return "allow" if values["vhost"] == "/" else "deny"
        if question == "topic":
            return "allow" if values["routing_key"].startswith(name) else "deny"
        is_own = values["name"].startswith((name, "amq."))
        return "allow" if is_own or name == "boss" else "deny"

    def asked(self, question: str) -> list[dict[str, str]]:
        path = f"/auth/{question}"
        return [each.parameters for each in self.web.requests if each.path == path]


@pytest.fixture
def service() -> Iterator[Service]:
    with serve_web() as web:
        yield Service(web)


def settings_of(service: Service) -> dict[str, object]:
    return {
        "auth_backends": "internal,http",
        "auth_http_method": "post",
        "auth_http_request_timeout_s": 2,
        "login_failure_delay_s": 0.05,
        **{f"auth_http_{name}_path": f"{service.web.url}/auth/{name}" for name in PATHS},
    }


@pytest.fixture
def served(service: Service) -> Iterator[RunningBroker]:
    """A broker that asks the service after its own users."""
    with start_broker(**settings_of(service)) as broker:
        yield broker


def connect(broker: RunningBroker, name: str) -> RawClient:
    client = RawClient(broker)
    client.login(name)
    client.tune_ok()
    client.open()
    client.open_channel()
    return client


def test_pika_works_where_a_service_decides(served: RunningBroker, service: Service) -> None:
    credentials = pika.PlainCredentials("ann", "ann")
    connection = pika.BlockingConnection(
        pika.ConnectionParameters(served.host, served.port, credentials=credentials)
    )
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("ann-1").method.queue
    channel.queue_bind(queue, "amq.topic", "ann.#")
    for number in range(50):
        channel.basic_publish("", queue, b"%d" % number)
        channel.basic_publish("amq.topic", "ann.key", b"%d" % number)
    got = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(100)]
    assert None not in got
    connection.close()
    # One question each, however many messages.
    assert service.asked("user") == [{"username": "ann", "password": "ann"}]
    (vhost,) = service.asked("vhost")
    assert vhost == {"username": "ann", "vhost": "/", "ip": "127.0.0.1", "tags": ""}
    permissions = [(each["name"], each["permission"]) for each in service.asked("resource")]
    assert len(permissions) == len(set(permissions))
    assert ("amq.default", "write") in permissions
    keys = [(each["routing_key"], each["permission"]) for each in service.asked("topic")]
    assert keys == [("ann.#", "read"), ("ann.key", "write")]


def test_no_is_no(served: RunningBroker) -> None:
    client = connect(served, "ann")
    client.send_command(commands.Queue.Declare(queue="bob-1"), 1)
    assert client.read(commands.Channel.Close).reply_text == (
        "ACCESS_REFUSED - configure access to queue 'bob-1' in vhost '/' refused for user 'ann'"
    )
    client.close()
    stranger = RawClient(served)
    stranger.start()
    stranger.start_ok("\0carl\0carl")
    assert stranger.read_close(403)
    stranger.close()


def test_the_brokers_own_users_need_no_service(served: RunningBroker, service: Service) -> None:
    service.is_down = True
    client = connect(served, "guest")
    client.declare("own")
    client.close()
    assert not service.web.requests


def test_a_service_that_is_down_refuses(served: RunningBroker, service: Service) -> None:
    client = connect(served, "ann")
    service.is_down = True
    client.send_command(commands.Queue.Declare(queue="ann-2"), 1)
    assert client.read(commands.Channel.Close).reply_text == (
        "ACCESS_REFUSED - configure access to queue 'ann-2' in vhost '/' refused for user 'ann', "
        "backend rabbit_auth_backend_http returned an error: the answer is 503"
    )
    client.close()
    other = RawClient(served)
    other.start()
    other.start_ok("\0boss\0boss")
    assert other.read_close(403)
    other.close()


def test_nobody_else_waits_for_a_slow_service(served: RunningBroker, service: Service) -> None:
    guest = connect(served, "guest")
    seen: list[str] = []
    words = service.words

    def slow(question: str, values: dict[str, str]) -> str:
        if question == "resource":
            seen.append(guest.declare(f"meanwhile-{len(seen)}"))
        return words(question, values)

    service.words = slow  # type: ignore[method-assign]
    client = connect(served, "ann")
    assert client.declare("ann-3") == "ann-3"
    assert seen == ["meanwhile-0"]
    client.close()
    guest.close()


def test_the_management_api_asks_as_well(served: RunningBroker) -> None:
    boss = HttpApi(served.host, served.management_port, "/", "boss", "boss")
    assert boss.get("/whoami")["tags"] == ["administrator"]
    assert [vhost["name"] for vhost in boss.get("/vhosts")] == ["/"]
    assert boss("PUT", "/queues/%2F/q", {}).status == 201
    viewer = HttpApi(served.host, served.management_port, "/", "viewer", "viewer")
    assert viewer("PUT", "/queues/%2F/viewer-1", {}).status == 201
    refused = viewer("PUT", "/queues/%2F/q2", {})
    assert (refused.status, refused.body["reason"]) == (401, "Access refused.")
    assert (
        viewer(
            "POST",
            "/queues/%2F/q/get",
            {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"},
        ).status
        == 401
    )
    ann = HttpApi(served.host, served.management_port, "/", "ann", "ann")
    assert ann("GET", "/overview").status == 401


def test_what_is_sent_is_in_no_log(service: Service, tmp_path: Path) -> None:
    settings = {**settings_of(service), "auth_http_method": "get", "log_level": "debug"}
    broker = Restarts(tmp_path, **settings)
    try:
        broker.start()
        for is_down in (False, True):
            service.is_down = is_down
            client = broker.dial()
            client.start()
            client.start_ok("\0ann\0verysecret")
            client.read_close(403)
        broker.stop()
        assert "Denied by the backing HTTP service" in broker.log
        assert f"{service.web.url}/auth/user: the answer is 503" in broker.log
        assert "verysecret" not in broker.log
    finally:
        broker.close()


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    page = "http-auth-backend.md"
    serve, use = blocks(page, "py")
    settings, output = blocks(page, "toml")[0], blocks(page, "text")[0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    config = tmp_path / "broker.toml"
    config.write_text(settings.replace("8000", port))
    program = [sys.executable, "-c", serve.replace("8000", port)]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as service:
        try:
            assert service.stdout is not None
            assert service.stdout.readline() == "listening\n"
            with start_broker(config_file=config) as broker:
                program = [sys.executable, "-c", use.replace(DEFAULT_URL, broker.url())]
                done = subprocess.run(
                    program, capture_output=True, text=True, timeout=15, check=False
                )
        finally:
            service.kill()
    assert (done.stdout, done.stderr) == (output, "")
