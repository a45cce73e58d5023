"""A client of the management API that hands out answers, errors too."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import urllib.parse
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.helpers import DEADLINE_S


class Answer(NamedTuple):
    """An answer: its status, its headers in lower case, its body decoded if it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


def quote(name: str) -> str:
    """Return a name as one segment of a path."""
    return urllib.parse.quote(name, safe="")


@dataclass(frozen=True)
class HttpApi:
    """The API as one user sees it; ``{v}`` in a path is the vhost of the tests."""

    host: str
    port: int
    vhost: str
    user: str = "guest"
    password: str = "guest"

    def as_user(self, user: str, password: str) -> HttpApi:
        """Return the API as another user sees it."""
        return replace(self, user=user, password=password)

    def __call__(self, method: str, path: str, content: object = None, **headers: str) -> Answer:
        """Send a request; ``content`` becomes JSON unless it is bytes."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        body = content if isinstance(content, bytes | None) else json.dumps(content).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.raw(method, path, body, {"Authorization": f"Basic {token}", **names})

    def raw(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Send a request with just these headers."""
        path = "/api" + path.replace("{v}", quote(self.vhost))
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            shown = {name.lower(): value for name, value in response.getheaders()}
        is_json = shown.get("content-type", "") == "application/json" and text
        return Answer(response.status, shown, json.loads(text) if is_json else text)

    def publish(self, queue: str, *payloads: str, **properties: object) -> None:
        """Publish to a queue; the messages are there when this returns."""
        for payload in payloads:
            body = {
                "routing_key": queue,
                "payload": payload,
                "payload_encoding": "string",
                "properties": properties,
            }
            answer = self("POST", "/exchanges/{v}/amq.default/publish", body)
            assert answer.body == {"routed": True}, answer

    def get(self, path: str) -> Any:
        """Return what a GET that must succeed shows."""
        answer = self("GET", path)
        assert answer.status == 200, answer
        return answer.body


def reason(answer: Answer) -> tuple[int, Any]:
    """Return status and reason of an error."""
    return answer.status, answer.body["reason"]
