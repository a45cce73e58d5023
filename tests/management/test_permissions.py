"""Permissions over HTTP (FEATURES A18.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.management.http_api import reason

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi
    from tests.raw_client import RawClient

ONLY_A = {"configure": "^a", "write": "", "read": ""}


def test_permissions_come_and_go(api: HttpApi, manager: HttpApi) -> None:
    user = manager.user
    path = f"/permissions/{{v}}/{user}"
    assert api("GET", path).status == 404
    assert api("PUT", path, ONLY_A).status == 201
    assert api("PUT", path, ONLY_A).status == 204
    shown = api.get(path)
    assert shown == {"user": user, "vhost": api.vhost, **ONLY_A}
    assert api.get(f"/users/{user}/permissions") == [shown]
    assert shown in api.get("/permissions")
    assert shown in api.get("/vhosts/{v}/permissions")
    assert api("DELETE", path).status == 204
    assert api("DELETE", path).status == 404


def test_they_are_asked_over_http_too(api: HttpApi, manager: HttpApi, name: str) -> None:
    refused = (401, "User not authorised to access virtual host")
    assert reason(manager("GET", "/queues/{v}")) == refused
    assert reason(manager("PUT", f"/queues/{{v}}/{name}", {})) == refused
    assert manager.get("/queues") == []
    assert api("PUT", f"/permissions/{{v}}/{manager.user}", ONLY_A).status == 201
    assert reason(manager("PUT", f"/queues/{{v}}/{name}", {})) == (401, "Access refused.")
    assert manager("PUT", f"/queues/{{v}}/a-{name}", {}).status == 201
    assert manager("DELETE", f"/queues/{{v}}/a-{name}/contents").status == 401
    assert manager("DELETE", f"/queues/{{v}}/a-{name}").status == 204
    assert manager.get("/queues/{v}") is not None


def test_publish_and_get_need_their_permissions(api: HttpApi, manager: HttpApi, queue: str) -> None:
    assert api("PUT", f"/permissions/{{v}}/{manager.user}", ONLY_A).status == 201
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    answer = manager("POST", f"/queues/{{v}}/{queue}/get", body)
    assert (answer.status, answer.body["error"]) == (401, "not_authorised")
    message = {"routing_key": "", "payload": "", "payload_encoding": "string", "properties": {}}
    answer = manager("POST", "/exchanges/{v}/amq.direct/publish", message)
    assert answer.status == 400
    assert answer.body["reason"].startswith("403 ACCESS_REFUSED")


@pytest.mark.deviates("RabbitMQ's channels remember permissions for a while")
def test_a_publisher_loses_a_permission_at_once(
    api: HttpApi, client: RawClient, queue: str
) -> None:
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    client.publish(queue, b"one")
    client.publish(queue, b"two")
    client.counts(queue)
    assert api("PUT", "/permissions/{v}/guest", {**every, "write": ""}).status == 204
    try:
        client.publish(queue, b"three")
        assert client.read(commands.Channel.Close).reply_code == 403
    finally:
        assert api("PUT", "/permissions/{v}/guest", every).status == 204


def test_topic_permissions_come_and_go(api: HttpApi, manager: HttpApi) -> None:
    user = manager.user
    path = f"/topic-permissions/{{v}}/{user}"
    topics = {"exchange": "amq.topic", "write": "^a", "read": "^b"}
    assert api("PUT", path, topics).status == 201
    row = {"user": user, "vhost": api.vhost, **topics}
    assert api.get(path) == [row]
    assert api.get(f"/users/{user}/topic-permissions") == [row]
    assert row in api.get("/topic-permissions")
    assert row in api.get("/vhosts/{v}/topic-permissions")
    assert api("DELETE", path).status == 204
    assert api("GET", path).status == 404


def test_what_makes_no_sense_is_refused(api: HttpApi, manager: HttpApi, name: str) -> None:
    path = f"/permissions/{{v}}/{manager.user}"
    answer = api("PUT", path, {"configure": ""})
    assert reason(answer) == (400, "[{key_missing,write},{key_missing,read}]")
    nobody = (400, "vhost_or_user_not_found")
    assert reason(api("PUT", f"/permissions/{{v}}/{name}", ONLY_A)) == nobody
    assert reason(api("PUT", f"/permissions/{name}/guest", ONLY_A)) == nobody
    answer = api("PUT", path, {**ONLY_A, "read": "("})
    assert answer.status == 400
    assert answer.body["reason"][0] == "invalid_regexp"


def test_only_administrators_see_them(manager: HttpApi) -> None:
    refused = (401, "Not administrator user")
    assert reason(manager("GET", "/permissions")) == refused
    assert reason(manager("GET", "/permissions/{v}/guest")) == refused
    assert reason(manager("PUT", f"/permissions/{{v}}/{manager.user}", ONLY_A)) == refused
