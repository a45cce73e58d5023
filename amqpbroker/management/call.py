"""One HTTP request: who makes it, what it may see, what it brings along.

Endpoints take an ``Api`` and get the user's view of the broker from it. Login is HTTP Basic with
the passwords of AMQP; what a user may do here is decided by tags and, within a vhost, by the same
permissions as over AMQP (FEATURES A15.11).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import PydanticCustomError

from amqpbroker.auth.backends.backend import answered
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.permissions import may_enter
from amqpbroker.auth.principal import ADMINISTRATOR, MANAGEMENT, MONITORING, POLICYMAKER
from amqpbroker.auth.sasl.mechanism import Credentials, Peer, decode_name
from amqpbroker.management.direct import DirectSession
from amqpbroker.management.errors import ApiError, bad_request, not_authorised, not_found
from amqpbroker.storage.log import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from amqpbroker.auth.principal import Principal
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.management.http_server import Listener

M = TypeVar("M", bound=BaseModel)

Answer: TypeAlias = Response
"""What endpoints return."""

DEFAULT_EXCHANGE: Final = "amq.default"
"""What the nameless exchange is called in a path."""
_REFUSED: Final = {
    MANAGEMENT: "Not management user",
    MONITORING: "Not monitor user",
    POLICYMAKER: "Not policymaker",
    ADMINISTRATOR: "Not administrator user",
}


class Json(Response):
    """JSON without blanks; names that are not UTF-8 are escaped, byte by byte."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def created(is_new: bool, location: str | None = None) -> Response:
    """Return the answer to a PUT or POST that makes something: 201, or 204 if it was there."""
    headers = {} if location is None else {"location": location}
    return Response(status_code=201 if is_new else 204, headers=headers)


def done() -> Response:
    """Return the answer to a change."""
    return Response(status_code=204)


def _flag(value: object) -> object:
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise PydanticCustomError("not_boolean", "not_boolean")


def _table(value: object) -> object:
    return {} if value == [] else value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [tag.strip() for tag in value.split(",") if tag.strip()]


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A boolean in a body, or its name in quotes."""
Tags = Annotated[list[str] | None, BeforeValidator(_split)]
"""Tags in a body: a list, or text with commas."""
Arguments = Annotated[dict[str, Any], BeforeValidator(_table)]
"""Arguments in a body; RabbitMQ writes an empty table as an empty list."""


class Call:
    """One request of a user who has logged in."""

    def __init__(self, request: Request, principal: Principal) -> None:
        self.request = request
        self.principal = principal
        self.entered: dict[str, bool] = {}
        """Vhosts that somebody else was asked about, before anything was done."""
        self.broker: Broker = request.app.state.broker
        self.listeners: Sequence[Listener] = request.app.state.listeners

    @property
    def node(self) -> str:
        """The name of this node."""
        return self.broker.config.cluster_name

    # what the user may see

    def require(self, tag: str) -> None:
        """Let only users with a tag go on.

        Raises :class:`~amqpbroker.management.errors.ApiError` 401.
        """
        if not self.principal.has_tag(tag):
            raise not_authorised(_REFUSED[tag])

    def may_enter(self, vhost: str) -> bool:
        """Return whether the user has permissions on a vhost, whatever they are."""
        if self.principal.is_remote:
            return self.entered.get(vhost, False)
        return may_enter(self.principal, vhost)

    def find_vhost(self, name: str) -> VHost:
        """Return a vhost, whoever may enter it.

        Raises :class:`~amqpbroker.management.errors.ApiError` 404.
        """
        vhost = self.broker.vhosts.get(name)
        if vhost is None:
            is_change = self.request.method in ("PUT", "POST")
            raise ApiError(404, "not_found", "vhost_not_found") if is_change else not_found()
        return vhost

    def vhost(self, name: str) -> VHost:
        """Return a vhost that the user may enter.

        Raises :class:`~amqpbroker.management.errors.ApiError` 404 or 401.
        """
        vhost = self.find_vhost(name)
        if not self.may_enter(name):
            raise not_authorised("User not authorised to access virtual host")
        return vhost

    def vhosts(self) -> list[VHost]:
        """Return the vhosts that the user may enter, by name."""
        return [vhost for name, vhost in sorted(self.broker.vhosts.items()) if self.may_enter(name)]

    def managed_vhosts(self) -> list[VHost]:
        """Return the vhosts whose policies and parameters the user may see.

        An administrator need not have permissions there.
        """
        is_administrator = self.principal.has_tag(ADMINISTRATOR)
        return list(self.broker.vhosts.values()) if is_administrator else self.vhosts()

    def sessions(self) -> list[Session]:
        """Return the connections that the user may see: all, or those of the same user."""
        sees_all = self.principal.has_tag(MONITORING)
        return [
            session
            for session in list(self.broker.sessions)
            if session.principal is not None
            and (sees_all or session.principal.username == self.principal.username)
        ]

    async def committed(self) -> None:
        """Return when what this call has changed among the messages is on the disk.

        Raises :class:`~amqpbroker.management.errors.ApiError` 503 if the log has failed.
        """
        journal = self.broker.journal
        if journal is not None:
            try:
                await journal.wait(journal.ticket)
            except LogUnavailable as error:
                raise ApiError(503, "log_unavailable", str(error)) from None

    # what it brings along

    def query_flag(self, name: str) -> bool:
        """Return whether ``?name=true`` was given."""
        return self.request.query_params.get(name) == "true"

    async def body(self, model: type[M]) -> M:
        """Return the JSON object in the body; none is an empty one.

        Raises :class:`~amqpbroker.management.errors.ApiError` 400.
        """
        try:
            values = json.loads(await self.raw_body() or b"{}")
        except (ValueError, RecursionError):
            raise bad_request("not_json") from None
        if not isinstance(values, dict):
            raise bad_request("not_json")
        try:
            return model.model_validate(values)
        except ValidationError as error:
            raise bad_request(_explain(error)) from None

    async def raw_body(self) -> bytes:
        """Return the body.

        Raises :class:`~amqpbroker.management.errors.ApiError` 400 if it is too long.
        """
        size_max = 2 * self.broker.config.message_size_max
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > size_max:
                raise bad_request("Exceeded HTTP request body size limit")
        return bytes(body)

    # acting as a client

    @contextmanager
    def direct(self, vhost: VHost) -> Iterator[DirectSession]:
        """Act in a vhost as a client would; at the end all that was touched is woken."""
        session = DirectSession(self.broker, self.principal, vhost)
        try:
            yield session
        finally:
            session.finish()
            self.broker.flush()


def _explain(error: ValidationError) -> object:
    """Return what is wrong with a body, as RabbitMQ prints it where it has words for it."""
    mistakes = error.errors(include_url=False)
    missing = [item["loc"][0] for item in mistakes if item["type"] == "missing"]
    if missing:
        return f"[{','.join(f'{{key_missing,{name}}}' for name in missing)}]"
    first = mistakes[0]
    if first["type"] == "not_boolean":
        return ["not_boolean", first["input"]]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


async def log_in(request: Request) -> Call:
    """Return the call of a user who may use the API.

    Raises :class:`~amqpbroker.management.errors.ApiError` 401.
    """
    broker: Broker = request.app.state.broker
    claim = _claim(request.headers.get("authorization", ""))
    try:
        principal = await broker.logins.log_in(claim, _peer(request))
    except AuthenticationFailed as error:
        if "localhost" in str(error):
            raise not_authorised("User can only log in via localhost") from None
        raise ApiError(401, "not_authorized", "Login failed") from None
    call = Call(request, principal)
    call.require(MANAGEMENT)
    if principal.is_remote:
        named = request.path_params.get("vhost")
        for vhost in list(broker.vhosts) if named is None else [named]:
            call.entered[vhost] = await answered(partial(may_enter, principal, vhost))
    return call


def _peer(request: Request) -> Peer:
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Peer(is_loopback=False)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return Peer(is_loopback=mapped.is_loopback, address=str(mapped))


def _claim(header: str) -> Credentials:
    """Return the credentials of HTTP Basic, or a token, which says itself whose it is."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        return Credentials("", token.strip().encode())
    if scheme.lower() != "basic":
        raise ApiError(401, "", None)
    try:
        username, colon, password = base64.b64decode(token, validate=True).partition(b":")
    except binascii.Error:
        colon = b""
    if not colon or b"\0" in username + password:
        raise ApiError(401, "not_authorized", "Login failed")
    return Credentials(decode_name(username), password)


Api = Annotated[Call, Depends(log_in)]
"""The call, as endpoints ask for it."""
