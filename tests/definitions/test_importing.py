"""Importing is additive and idempotent, and what it brings is still there after a restart."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from amqpbroker.broker.arguments import check_same_arguments
from amqpbroker.broker.opening import open_broker
from amqpbroker.config import Config
from amqpbroker.definitions import DefinitionsError, import_at_start, importing
from amqpbroker.definitions.checking import check
from amqpbroker.definitions.reading import read_document
from amqpbroker.definitions.sources import Part
from amqpbroker.routing.binding import Binding, Destination
from tests.definitions.document import encoded, imported, new_broker, sample

if TYPE_CHECKING:
    from pathlib import Path

    from amqpbroker.broker.broker import Broker


def contents(broker: Broker) -> dict[str, Any]:
    """Return what an import changes, to compare."""
    vhosts = broker.vhosts.values()
    return {
        "users": dict(broker.users.users),
        "permissions": dict(broker.users.permissions),
        "topic_permissions": dict(broker.users.topic_permissions),
        "limits": {vhost.name: vhost.limits for vhost in vhosts},
        "exchanges": {(v.name, x.name, x.type_name) for v in vhosts for x in v.exchanges.values()},
        "queues": {(v.name, name): q.arguments for v in vhosts for name, q in v.queues.items()},
        "bindings": {(v.name, b) for v in vhosts for x in v.exchanges.values() for b in x.bindings},
    }


async def test_everything_is_made() -> None:
    broker = new_broker()
    await imported(broker, sample())
    vhost = broker.vhosts["v"]
    assert vhost.limits == {"max-queues": 9}
    assert broker.users.permissions["u", "v"] == (".*", "^a", "")
    assert broker.users.topic_permissions["u", "v", "x"] == ("a", "b")
    assert vhost.exchanges["x"].type_name == "topic"
    expected = Binding("x", Destination("queue", "q"), "k.#", (("a", ("l", 1)),))
    assert list(vhost.exchanges["x"].bindings) == [expected]


async def test_a_client_that_says_int32_redeclares_the_same_queue() -> None:
    broker = new_broker()
    await imported(broker, sample())
    arguments = broker.vhosts["v"].queues["q"].arguments
    check_same_arguments(["x-message-ttl"], "q", arguments, {"x-message-ttl": ("I", 5000)})


async def test_a_second_time_nothing_is_to_do() -> None:
    broker = new_broker()
    await imported(broker, sample())
    before = contents(broker)
    plan = await imported(broker, sample())
    assert plan.count == 0
    assert contents(broker) == before


async def test_a_binding_of_a_client_with_an_int32_is_the_same_one() -> None:
    broker = new_broker()
    document = sample()
    bindings, document["bindings"] = document["bindings"], []
    await imported(broker, document)
    made = Binding("x", Destination("queue", "q"), "k.#", (("a", ("I", 1)),))
    broker.vhosts["v"].bind(made)
    await imported(broker, {"bindings": bindings})
    assert list(broker.vhosts["v"].exchanges["x"].bindings) == [made]


async def test_a_queue_that_is_there_stays_as_it_is() -> None:
    broker = new_broker()
    await imported(broker, sample())
    queue = broker.vhosts["v"].queues["q"]
    document = sample()
    document["queues"][0].update(durable=False, arguments={})
    document["exchanges"][0].update(type="fanout")
    await imported(broker, document)
    assert broker.vhosts["v"].queues["q"] is queue
    assert broker.vhosts["v"].exchanges["x"].type_name == "topic"


def write(path: Path, document: object) -> Path:
    file = path / "definitions.json"
    file.write_bytes(b"\xef\xbb\xbf" + encoded(document))
    return file


async def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    file = write(tmp_path, sample())
    config = Config(data_dir=tmp_path / "data", definitions=file)
    async with open_broker(config) as broker:
        await import_at_start(broker)
        assert list(broker.users.users) == ["u"], "the file brings users: no default one"
        assert list(broker.vhosts) == ["v"]
        queue = broker.vhosts["v"].queues["q"]
        assert queue.journal is broker.journal
        before = contents(broker)
    async with open_broker(config) as broker:
        assert contents(broker) == before
        await import_at_start(broker)
        assert contents(broker) == before


async def test_a_file_without_users_leaves_the_defaults(tmp_path: Path) -> None:
    queue = {"name": "q", "vhost": "/", "durable": True}
    file = write(tmp_path, {"vhosts": [{"name": "/"}], "queues": [queue]})
    async with open_broker(Config(is_memory=True, definitions=file)) as broker:
        assert not broker.vhosts
        await import_at_start(broker)
        assert list(broker.users.users) == ["guest"]
        assert list(broker.vhosts["/"].queues) == ["q"]


async def test_a_refused_file_leaves_an_empty_broker_empty(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data", definitions=write(tmp_path, {"queues": [{}]}))
    async with open_broker(config) as broker:
        with pytest.raises(DefinitionsError):
            await import_at_start(broker)
        assert not broker.vhosts
    write(tmp_path, sample())
    async with open_broker(config) as broker:
        await import_at_start(broker)
        assert list(broker.users.users) == ["u"]


async def test_one_warning_names_what_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    policy = {"name": "p", "pattern": "", "definition": {"federation-upstream": "x"}}
    document = {"policies": [policy] * 3, "parameters": [{"component": "shovel", "name": "s"}]}
    await imported(new_broker(), document, vhost="/")
    warnings = [item.getMessage() for item in caplog.records if item.levelno == logging.WARNING]
    text = "left out, this broker does not have them: parameters: 1"
    text += ", policies with settings of plugins: 3"
    assert warnings == [f"test: {text}"]


def many(count: int) -> dict[str, Any]:
    return {"queues": [{"name": f"q{i}", "durable": False} for i in range(count)]}


async def test_others_get_their_turn_meanwhile() -> None:
    broker = new_broker()
    seen: set[int] = set()

    async def watch() -> None:
        while len(broker.vhosts["/"].queues) < 5000:
            seen.add(len(broker.vhosts["/"].queues))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await imported(broker, many(5000), vhost="/")
    assert {1000, 2000, 3000, 4000} <= seen


async def test_what_is_deleted_meanwhile_does_no_harm() -> None:
    broker = new_broker()
    await imported(broker, sample())
    document = sample()
    broker.vhosts["v"].delete_queue(broker.vhosts["v"].queues["q"])
    plan = await check(broker, read_document(encoded(document)))
    del broker.vhosts["v"]
    await importing.apply_plan(broker, plan)
    assert list(broker.vhosts) == ["/"]


def test_progress_is_logged_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    times = iter([0.0, 1.0, 6.0, 7.0])
    update = importing.log_progress("f: importing", lambda: next(times))
    for done in (1000, 2000, 3000):
        update(done, 9000)
    assert [item.getMessage() for item in caplog.records] == ["f: importing: 2000 of 9000"]


async def test_all_work_is_told_to_the_end() -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    def progress_of(what: str) -> importing.OnProgress:
        return lambda done, total: told.setdefault(what, []).append((done, total))

    parts = [Part("", encoded(many(600)))]
    await importing.import_parts(
        new_broker(), parts, source="f", vhost="/", progress_of=progress_of
    )
    assert told["f: checking"][-1] == (600, 600)
    prepared, applied = range(25, 301, 25), range(325, 601, 25)
    assert told["f: importing"] == [(done, 600) for done in (*prepared, *applied, 600)]
