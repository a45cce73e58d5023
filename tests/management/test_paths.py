"""Paths as sent (T28)."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from amqpbroker.management.paths import NameConvertor, RawPaths, new_router

router = new_router()


@router.get("/{first:name}/x/{second:name}")
async def show(first: str, second: str) -> list[str]:
    """Show what the segments mean."""
    return [first, second]


@pytest.fixture
def app() -> RawPaths:
    inner = FastAPI(openapi_url=None, redirect_slashes=False)
    inner.include_router(router)
    return RawPaths(inner)


async def request(app: RawPaths, raw_path: bytes, method: str = "GET") -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "method": method,
        "path": "/not/used",
        "raw_path": raw_path,
        "query_string": b"",
        "headers": [],
    }
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    names = [name for name, _ in sent[0]["headers"]]  # type: ignore[attr-defined]
    assert b"date" in names
    return int(str(sent[0]["status"])), bytes(sent[1]["body"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("raw_path", "body"),
    [
        (b"/%2F/x/b", b'["/","b"]'),
        (b"//x/b/", b'["","b"]'),
        (b"/a%2Fx%2Fb/x/%25", b'["a/x/b","%"]'),
    ],
)
async def test_segments_are_decoded_one_by_one(app: RawPaths, raw_path: bytes, body: bytes) -> None:
    assert await request(app, raw_path) == (200, body)


async def test_head_is_routed_as_get(app: RawPaths) -> None:
    assert (await request(app, b"/a/x/b", "HEAD"))[0] == 200
    assert (await request(app, b"/a/x/b", "POST"))[0] == 405


@pytest.mark.parametrize("name", ["", "a/b", "é", "\udcff", "%2F", "a b"])
def test_names_survive_a_path(name: str) -> None:
    convertor = NameConvertor()
    assert "/" not in convertor.to_string(name)
    assert convertor.convert(convertor.to_string(name)) == name
