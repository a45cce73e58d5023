"""The ASGI application: all resources, and what their errors are answered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from amqpbroker.errors import AmqpError
from amqpbroker.management import (
    bindings,
    channels,
    connections,
    consumers,
    definitions,
    delayed,
    deliveries,
    exchanges,
    health,
    limits,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    redrives,
    users,
    vhosts,
)
from amqpbroker.management.call import Json
from amqpbroker.management.errors import ApiError, not_found, of_topology
from amqpbroker.management.paths import RawPaths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp

    from amqpbroker.broker.broker import Broker
    from amqpbroker.management.http_server import Listener

REALM: Final = "RabbitMQ Management"
RESOURCES: Final = (
    bindings,
    channels,
    connections,
    consumers,
    definitions,
    delayed,
    deliveries,
    exchanges,
    health,
    limits,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    redrives,
    users,
    vhosts,
)


def create_app(broker: Broker, listeners: Sequence[Listener]) -> ASGIApp:
    """Return the application."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.broker = broker
    app.state.listeners = tuple(listeners)
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(AmqpError, _answer_amqp_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    for resource in RESOURCES:
        app.include_router(resource.router, prefix="/api")
    return RawPaths(app)


async def _answer_api_error(_request: Request, error: Any) -> Response:
    headers = {}
    if error.error in ("", "not_authorized"):
        headers["www-authenticate"] = f'Basic realm="{REALM}"'
    if not error.error:
        return Response(status_code=error.status, headers=headers)
    return _answer(error, headers)


async def _answer_amqp_error(_request: Request, error: Any) -> Response:
    return _answer(of_topology(error), {})


async def _answer_http_exception(_request: Request, error: Any) -> Response:
    if error.status_code == 404:
        return _answer(not_found(), {})
    return Response(status_code=error.status_code, headers=error.headers)


def _answer(error: ApiError, headers: dict[str, str]) -> Response:
    return Json(
        {"error": error.error, "reason": error.reason}, status_code=error.status, headers=headers
    )
