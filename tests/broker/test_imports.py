"""What an import is about to make waits for it; changes of accounts and imports take turns."""

from __future__ import annotations

import pytest
from anyio import Event, create_task_group, fail_after, wait_all_tasks_blocked

from amqpbroker.auth.backends.backend import Unanswered
from amqpbroker.broker.imports import Imports
from amqpbroker.routing.binding import Binding, Destination

BINDING = Binding("x", Destination("queue", "q"), "k", ())


def test_nothing_is_reserved_when_nothing_is_imported() -> None:
    Imports().check_free("queue", "/", "q")


async def test_what_is_reserved_waits_and_other_things_do_not() -> None:
    imports = Imports()
    async with imports.importing({("queue", "/", "q"), ("/", BINDING)}):
        imports.check_free("queue", "/", "other")
        imports.check_free("exchange", "/", "q")
        for thing in (("queue", "/", "q"), ("/", BINDING)):
            with pytest.raises(Unanswered) as caught:
                imports.check_free(*thing)
        async with create_task_group() as tasks:
            tasks.start_soon(imports.wait)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    with fail_after(1):
        await caught.value.ask()
    imports.check_free("queue", "/", "q")


async def test_imports_and_changes_take_turns() -> None:
    imports, told = Imports(), []
    may_end = Event()

    async def change(name: str) -> None:
        async with imports.changing():
            told.append(f"{name} begins")
            if name == "first":
                await may_end.wait()
            told.append(f"{name} ends")

    async def bring_in(name: str) -> None:
        async with imports.importing(()):
            told.append(f"{name} begins")
            await wait_all_tasks_blocked()
            told.append(f"{name} ends")

    async with create_task_group() as tasks:
        tasks.start_soon(change, "first")
        await wait_all_tasks_blocked()
        tasks.start_soon(bring_in, "import")
        await wait_all_tasks_blocked()
        tasks.start_soon(change, "second")
        tasks.start_soon(bring_in, "another")
        await wait_all_tasks_blocked()
        assert told == ["first begins"]
        may_end.set()
    begins = [told.index(f"{name} begins") for name in ("first", "import", "second", "another")]
    ends = [told.index(f"{name} ends") for name in ("first", "import", "second", "another")]
    assert ends == [index + 1 for index in begins]
    assert begins[0] < begins[1] < min(begins[2:])


async def test_an_import_that_fails_holds_nobody_up() -> None:
    imports = Imports()
    with pytest.raises(ZeroDivisionError):
        async with imports.importing({("queue", "/", "q")}):
            raise ZeroDivisionError
    imports.check_free("queue", "/", "q")
    with fail_after(1):
        async with imports.changing():
            pass
