"""Paths as sent (T28)."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from amqpbroker.management.paths import NameConvertor, RawPaths, new_router
from tests.management.asgi import request

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


@pytest.mark.parametrize(
    ("raw_path", "body"),
    [
        (b"/%2F/x/b", b'["/","b"]'),
        (b"//x/b/", b'["","b"]'),
        (b"/a%2Fx%2Fb/x/%25", b'["a/x/b","%"]'),
    ],
)
async def test_segments_are_decoded_one_by_one(app: RawPaths, raw_path: bytes, body: bytes) -> None:
    status, headers, answered = await request(app, raw_path)
    assert (status, answered) == (200, body)
    assert b"date" in headers


async def test_head_is_routed_as_get(app: RawPaths) -> None:
    assert (await request(app, b"/a/x/b", "HEAD"))[0] == 200
    assert (await request(app, b"/a/x/b", "POST"))[0] == 405


@pytest.mark.parametrize("name", ["", "a/b", "é", "\udcff", "%2F", "a b"])
def test_names_survive_a_path(name: str) -> None:
    convertor = NameConvertor()
    assert "/" not in convertor.to_string(name)
    assert convertor.convert(convertor.to_string(name)) == name
