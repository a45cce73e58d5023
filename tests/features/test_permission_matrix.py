"""Every method with every combination of permissions (FEATURES A15.8, A15.9, S162).

``permission_matrix.json`` says what each method checks and in which order. Names tell what the
user may do with them: ``queue.cw.`` may be configured and written. So one user, whose permissions
are patterns for these letters, meets every combination on every resource, and each answer is
compared with the first check that fails, or with none. Methods that check nothing are called by
a user who may do nothing, and the resources that the broker names by users of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from pamqp import base, commands

from tests.amqp_bytes import command_frame, content_frames, properties
from tests.conftest import EXTERNAL_URL
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.amqp_bytes import TypedTable
    from tests.helpers import RunningBroker

ROWS: Final[dict[str, list[str]]] = {
    row["method"]: row["checks"]
    for row in json.loads((Path(__file__).parent / "permission_matrix.json").read_text())
}
LETTERS: Final = {"configure": "c", "write": "w", "read": "r"}
SUBSETS: Final = ("", "c", "w", "r", "cw", "cr", "wr", "cwr")
KEY_SUBSETS: Final = ("", "w", "r", "wr")
PATTERNS: Final = {name: rf"\.[cwr]*{letter}[cwr]*\." for name, letter in LETTERS.items()}
EXCHANGES: Final = {"exchange": "direct", "other-exchange": "fanout", "topic-exchange": "topic"}
COPIES: Final = pytest.mark.deviates("RabbitMQ 3.x checks only the routing key, 4.x all keys")
DELIVERED: Final = "queue.r."
"""The queue whose messages are settled: one may do nothing with it but read."""

Names = dict[str, str]
"""What a resource of the table is called in this combination."""


class Call(NamedTuple):
    """A method as it is sent."""

    command: base.Frame
    arguments: TypedTable | None = None
    header: bytes | None = None
    """The properties, if a content follows."""

    @property
    def ids(self) -> tuple[int, int]:
        """The class and method ids."""
        return divmod(self.command.index, 1 << 16)

    @property
    def frames(self) -> bytes:
        """The method on channel 1, with its content."""
        content = b"" if self.header is None else content_frames(1, b"x", self.header)
        return command_frame(self.command, 1, self.arguments) + content


def _exchange_declare(name: str, arguments: TypedTable | None = None, **flags: Any) -> Call:
    return Call(commands.Exchange.Declare(exchange=name, **flags), arguments)


def _queue_declare(name: str, arguments: TypedTable | None = None, **flags: Any) -> Call:
    return Call(commands.Queue.Declare(queue=name, **flags), arguments)


def _exchange_bind(command: Callable[..., base.Frame], source: str, names: Names) -> Call:
    key = names.get("key", "")
    return Call(command(destination=names["other-exchange"], source=names[source], routing_key=key))


def _queue_bind(command: Callable[..., base.Frame], source: str, names: Names) -> Call:
    key = names.get("key", "k")
    return Call(command(queue=names["queue"], exchange=names[source], routing_key=key))


def _publish(exchange: str, key: str = "", **headers: str) -> Call:
    table = {name: ("A", [("S", value)]) for name, value in headers.items()}
    header = properties(headers=table) if table else bytes(2)
    return Call(commands.Basic.Publish(exchange=exchange, routing_key=key), header=header)


REPLY_TO: Final = "amq.rabbitmq.reply-to"

CALLS: Final[dict[str, Callable[[Names], Call]]] = {
    "channel.open": lambda _: Call(commands.Channel.Open()),
    "channel.flow": lambda _: Call(commands.Channel.Flow(True)),
    "channel.close": lambda _: Call(commands.Channel.Close(200, "", 0, 0)),
    "exchange.declare": lambda n: _exchange_declare(n["new-exchange"]),
    "exchange.declare existing": lambda n: _exchange_declare(n["exchange"]),
    "exchange.declare passive": lambda _: _exchange_declare("exchange..", passive=True),
    "exchange.declare alternate-exchange": lambda n: _exchange_declare(
        n["new-exchange"], {"alternate-exchange": ("S", n["other-exchange"])}
    ),
    "exchange.delete": lambda n: Call(commands.Exchange.Delete(exchange=n["new-exchange"])),
    "exchange.bind": lambda n: _exchange_bind(commands.Exchange.Bind, "exchange", n),
    "exchange.bind topic": lambda n: _exchange_bind(commands.Exchange.Bind, "topic-exchange", n),
    "exchange.unbind": lambda n: _exchange_bind(commands.Exchange.Unbind, "exchange", n),
    "exchange.unbind topic": lambda n: _exchange_bind(
        commands.Exchange.Unbind, "topic-exchange", n
    ),
    "queue.declare": lambda n: _queue_declare(n["new-queue"]),
    "queue.declare existing": lambda n: _queue_declare(n["queue"]),
    "queue.declare passive": lambda _: _queue_declare("queue..", passive=True),
    "queue.declare dead-letter-exchange": lambda n: _queue_declare(
        n["new-queue"], {"x-dead-letter-exchange": ("S", n["exchange"])}
    ),
    "queue.bind": lambda n: _queue_bind(commands.Queue.Bind, "exchange", n),
    "queue.bind topic": lambda n: _queue_bind(commands.Queue.Bind, "topic-exchange", n),
    "queue.unbind": lambda n: _queue_bind(commands.Queue.Unbind, "exchange", n),
    "queue.unbind topic": lambda n: _queue_bind(commands.Queue.Unbind, "topic-exchange", n),
    "queue.purge": lambda n: Call(commands.Queue.Purge(queue=n["queue"])),
    "queue.delete": lambda n: Call(commands.Queue.Delete(queue=n["new-queue"])),
    "basic.qos": lambda _: Call(commands.Basic.Qos(0, 1)),
    "basic.consume": lambda n: Call(commands.Basic.Consume(queue=n["queue"])),
    "basic.consume reply-to": lambda _: Call(commands.Basic.Consume(queue=REPLY_TO, no_ack=True)),
    "basic.cancel": lambda _: Call(commands.Basic.Cancel("nobody")),
    "basic.publish": lambda n: _publish(n["exchange"]),
    "basic.publish topic": lambda n: _publish(n["topic-exchange"], n["key"]),
    "basic.publish CC": lambda n: _publish(n["topic-exchange"], n["key"], CC=n["cc-key"]),
    "basic.publish BCC": lambda n: _publish(n["topic-exchange"], n["key"], BCC=n["cc-key"]),
    "basic.get": lambda n: Call(commands.Basic.Get(queue=n["queue"])),
    "basic.ack": lambda _: Call(commands.Basic.Ack(1)),
    "basic.nack": lambda _: Call(commands.Basic.Nack(1, requeue=True)),
    "basic.reject": lambda _: Call(commands.Basic.Reject(1, requeue=True)),
    "basic.recover": lambda _: Call(commands.Basic.Recover(True)),
    "basic.recover-async": lambda _: Call(commands.Basic.RecoverAsync(True)),
    "confirm.select": lambda _: Call(commands.Confirm.Select()),
    "tx.select": lambda _: Call(commands.Tx.Select()),
    "tx.commit": lambda _: Call(commands.Tx.Commit()),
    "tx.rollback": lambda _: Call(commands.Tx.Rollback()),
}
BUILT_IN: Final[dict[str, Call]] = {
    "queue.declare server-named": _queue_declare(""),
    "basic.publish default-exchange": _publish("", "nowhere"),
}


class Stage(NamedTuple):
    """A vhost with one thing of each kind and combination, and users by their name."""

    broker: RunningBroker
    prefix: str

    @contextlib.contextmanager
    def connect(self, user: str) -> Iterator[RawClient]:
        """Log in as a user of this stage."""
        with contextlib.closing(RawClient(self.broker)) as client:
            client.vhost = self.prefix
            client.login(f"{self.prefix}-{user}")
            client.tune_ok()
            client.open()
            yield client
            client.close_connection()

    def add_user(self, user: str, permissions: dict[str, str]) -> None:
        """Add a user whose password is the name."""
        name = f"{self.prefix}-{user}"
        management = self.broker.management
        management.request("PUT", f"/users/{name}", {"password": name, "tags": ""})
        management.request("PUT", f"/permissions/{self.prefix}/{name}", permissions)

    def publish(self, queue: str) -> None:
        """Publish a message as one who may."""
        path = f"/exchanges/{self.prefix}/amq.default/publish"
        content = {"routing_key": queue, "payload": "x", "payload_encoding": "string"}
        self.broker.management.request("POST", path, content | {"properties": {}})

    def declare_all(self) -> None:
        """Declare what exists before: every exchange and queue in every combination."""
        management, vhost = self.broker.management, self.prefix
        for letters in SUBSETS:
            for kind, exchange_type in EXCHANGES.items():
                exchange = {"type": exchange_type, "durable": False}
                management.request("PUT", f"/exchanges/{vhost}/{kind}.{letters}.", exchange)
            management.request("PUT", f"/queues/{vhost}/queue.{letters}.", {"durable": False})
            topics = {"exchange": f"topic-exchange.{letters}."}
            topics |= {name: PATTERNS[name] for name in ("write", "read")}
            management.request("PUT", f"/topic-permissions/{vhost}/{vhost}-by-name", topics)


@pytest.fixture(scope="module")
def stage(broker: RunningBroker) -> Iterator[Stage]:
    stage = Stage(broker, "matrix")
    management = broker.management
    management.request("PUT", "/vhosts/matrix", {})
    every = dict.fromkeys(LETTERS, ".*")
    management.request("PUT", "/permissions/matrix/guest", every)
    users = {"by-name": PATTERNS, "nobody": dict.fromkeys(LETTERS, "")}
    users |= {f"may-{letters}": _granting(letters) for letters in SUBSETS}
    for user, permissions in users.items():
        stage.add_user(user, permissions)
    stage.declare_all()
    yield stage
    for user in users:
        management.request("DELETE", f"/users/matrix-{user}")
    management.request("DELETE", "/vhosts/matrix")


def _granting(letters: str) -> dict[str, str]:
    return {name: ".*" if letter in letters else "" for name, letter in LETTERS.items()}


def test_the_table_has_every_method_that_clients_send() -> None:
    sent = {f"{name}.{method}" for name, method in _client_methods()}
    assert {row.split()[0] for row in ROWS} == sent
    assert set(ROWS) == {*CALLS, *BUILT_IN}


def _client_methods() -> Iterator[tuple[str, str]]:
    for kind in ("Channel", "Exchange", "Queue", "Basic", "Confirm", "Tx"):
        for command in vars(getattr(commands, kind)).values():
            name = getattr(command, "name", "")
            if name.startswith(f"{kind}.") and not _is_only_from_the_broker(name):
                method = name.partition(".")[2]
                yield kind.lower(), "recover-async" if method == "RecoverAsync" else method.lower()


def _is_only_from_the_broker(name: str) -> bool:
    others = ("Deliver", "Return", "GetEmpty", "Properties")
    return name.endswith(("Ok", *(f"Basic.{other}" for other in others)))


@pytest.mark.filterwarnings("ignore:This command is deprecated")  # pamqp's, of recover-async
@pytest.mark.parametrize("row", [row for row, checks in ROWS.items() if not checks])
def test_methods_that_need_no_permission(stage: Stage, row: str) -> None:
    is_settling = row in ("basic.ack", "basic.nack", "basic.reject")
    with stage.connect("by-name" if is_settling else "nobody") as client:
        if row != "channel.open":
            client.open_channel()
        if row in ("tx.commit", "tx.rollback"):
            client.call(commands.Tx.Select(), commands.Tx.SelectOk)
        if is_settling:
            stage.publish(DELIVERED)
            assert client.get(DELIVERED, no_ack=False) is not None
        assert _outcome(client, CALLS[row]({})) is None


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=COPIES) if row.endswith("CC") else row
        for row, checks in ROWS.items()
        if row in CALLS and checks
    ],
)
@pytest.mark.timeout(120)
def test_each_combination_of_permissions(stage: Stage, row: str) -> None:
    checks = [tuple(check.split()) for check in ROWS[row]]
    kinds = list(dict.fromkeys(kind for _, kind in checks))
    subsets = [KEY_SUBSETS if kind.endswith("key") else SUBSETS for kind in kinds]
    with stage.connect("by-name") as client:
        for number, combination in enumerate(itertools.product(*subsets)):
            granted = dict(zip(kinds, combination, strict=True))
            names = {kind: _name(kind, letters, row, number) for kind, letters in granted.items()}
            failing = [
                _refusal(stage, "by-name", permission, _where(kind, names))
                for permission, kind in checks
                if LETTERS[permission] not in granted[kind]
            ]
            client.open_channel()
            outcome = _outcome(client, CALLS[row](names))
            assert outcome == (failing[0] if failing else None), granted


def _name(kind: str, letters: str, row: str, number: int) -> str:
    unique = f"{row}-{number}" if kind.startswith("new-") else ""
    return f"{kind}.{letters}.{unique.replace('.', '-')}"


def _where(kind: str, names: Names) -> str:
    if kind.endswith("key"):
        return f"topic '{names[kind]}' in exchange '{names['topic-exchange']}' in vhost 'matrix'"
    return f"{kind.rpartition('-')[2]} '{names[kind]}' in vhost 'matrix'"


@pytest.mark.parametrize("letters", SUBSETS)
@pytest.mark.parametrize("row", BUILT_IN)
def test_names_that_the_broker_gives(stage: Stage, row: str, letters: str) -> None:
    (check,) = ROWS[row]
    permission = check.split()[0]
    user = f"may-{letters}"
    with stage.connect(user) as client:
        client.open_channel()
        outcome = _outcome(client, BUILT_IN[row])
    if LETTERS[permission] in letters:
        assert outcome is None
        return
    assert outcome is not None
    kind, prefix = ("exchange", "amq.default") if "exchange" in row else ("queue", "amq.gen-")
    name = outcome.split("'")[1]
    assert name.startswith(prefix)
    assert outcome == _refusal(stage, user, permission, f"{kind} '{name}' in vhost 'matrix'")


def _refusal(stage: Stage, user: str, permission: str, where: str) -> str:
    """Return the text of 403; RabbitMQ 3.10 does not yet name the kind of access."""
    named = "" if EXTERNAL_URL else f"{permission} "
    return f"ACCESS_REFUSED - {named}access to {where} refused for user '{stage.prefix}-{user}'"


def _outcome(client: RawClient, call: Call) -> str | None:
    """Send a method; return the text of its refusal, or None. Leaves the channel closed."""
    client.send(call.frames)
    is_closing = isinstance(call.command, commands.Channel.Close)
    answers = set(call.command.valid_responses)
    if not answers:
        client.send_command(commands.Basic.Qos(0, 1))
        answers = {"Basic.QosOk"}
    answer: Any = client.read_frame().command
    if isinstance(answer, commands.Channel.Close):
        reason = (answer.reply_code, answer.class_id, answer.method_id)
        assert reason == (403, *call.ids), answer.reply_text
        client.send_command(commands.Channel.CloseOk())
        return str(answer.reply_text)
    assert answer.name in answers
    if not is_closing:
        client.close_channel()
    return None
