"""A service that decides: what it is asked, what its answers mean (FEATURES A15.7)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from amqpbroker.auth.backends.answer_cache import AnswerCache
from amqpbroker.auth.backends.backend import BackendFailed, Unanswered, answered
from amqpbroker.auth.backends.http import NAME, HttpBackend, HttpPaths
from amqpbroker.auth.exceptions import AuthenticationFailed, HttpFailed
from amqpbroker.auth.sasl.mechanism import Peer
from tests.broker.clock import Clock

if TYPE_CHECKING:
    from amqpbroker.auth.backends.backend import Authority

PEER = Peer(is_loopback=False, address="192.0.2.7")
PATHS = HttpPaths(*(f"http://auth/{name}" for name in ("user", "vhost", "resource", "topic")))


class Service:
    """Records what it is asked; ``words`` is what it says."""

    def __init__(self, *, is_post: bool = False) -> None:
        self.clock = Clock()
        self.status = 200
        self.words = "allow"
        self.is_down = False
        self.asked: list[tuple[str, str, list[tuple[str, str]]]] = []
        cache = AnswerCache(15, 100, self.clock)
        self.backend = HttpBackend(PATHS, self.ask, cache, is_post=is_post)

    async def ask(self, method: str, url: str, form: str | None) -> tuple[int, bytes]:
        parts = urlsplit(url)
        query = parse_qsl(parts.query if form is None else form, keep_blank_values=True)
        self.asked.append((method, parts.path, query))
        if self.is_down:
            raise HttpFailed("timeout")
        return self.status, self.words.encode()

    async def authority(self) -> Authority:
        self.words = "allow monitoring other"
        grant = await self.backend.log_in("ann", b"secret", PEER)
        self.words = "allow"
        self.asked.clear()
        return grant.authority


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.mark.parametrize("is_post", [False, True])
async def test_a_login_sends_name_and_password(is_post: bool) -> None:
    service = Service(is_post=is_post)
    service.words = "Allow Administrator  management\n"
    grant = await service.backend.log_in("ann", b"p&\xff=", PEER)
    assert (grant.username, grant.tags) == ("ann", ("administrator", "management"))
    ((method, path, _),) = service.asked
    assert (method, path) == ("POST" if is_post else "GET", "/user")


async def test_bytes_of_a_password_arrive_as_they_are() -> None:
    sent: list[str | None] = []

    async def ask(_method: str, _url: str, form: str | None) -> tuple[int, bytes]:
        sent.append(form)
        return 201, b"allow"

    backend = HttpBackend(PATHS, ask, AnswerCache(15, 100, Clock()), is_post=True)
    await backend.log_in("b\u00fcb \udcff", b"p&\xff=", PEER)
    await backend.log_in("cert", None, PEER)
    assert sent == ["username=b%C3%BCb+%FF&password=p%26%FF%3D", "username=cert"]


async def test_the_service_may_say_no(service: Service) -> None:
    for words in ("deny", "DENY", "deny because it is Monday"):
        service.words = words
        with pytest.raises(AuthenticationFailed, match="Denied by the backing HTTP service"):
            await service.backend.log_in("ann", b"secret", PEER)
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (500, "allow", "the answer is 500"),
        (302, "allow", "the answer is 302"),
        (200, "perhaps", "the answer is neither allow nor deny"),
        (200, "", "the answer is neither allow nor deny"),
        (200, "allowed", "the answer is neither allow nor deny"),
    ],
)
async def test_what_is_neither_is_no(
    service: Service, status: int, words: str, reason: str
) -> None:
    authority = await service.authority()
    service.status, service.words = status, words
    with pytest.raises(AuthenticationFailed, match=f"{NAME} failed authenticating bob: {reason}"):
        await service.backend.log_in("bob", b"secret", PEER)
    with pytest.raises(BackendFailed, match=f"backend {NAME} returned an error: {reason}"):
        await answered(partial(authority.may_enter, "/"))


async def test_a_service_that_is_down_lets_nobody_in(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    authority = await service.authority()
    service.is_down = True
    with pytest.raises(AuthenticationFailed, match="failed authenticating bob: timeout"):
        await service.backend.log_in("bob", b"secret", PEER)
    for _ in range(2):  # a failure is not remembered
        with pytest.raises(BackendFailed, match="returned an error: timeout"):
            await answered(partial(authority.may_enter, "/"))
    assert len(service.asked) == 3
    assert caplog.messages == [
        "http://auth/user: timeout",
        "http://auth/vhost: timeout",
        "http://auth/vhost: timeout",
    ]
    service.is_down = False
    assert await answered(partial(authority.may_enter, "/"))


async def test_each_question_has_the_parameters_of_rabbitmq(service: Service) -> None:
    authority = await service.authority()
    assert authority.is_remote
    await answered(partial(authority.may_enter, "/"))
    await answered(partial(authority.may_use, "/", "queue", "q&1", "read"))
    await answered(partial(authority.may_use_topic, "/", "x", "a.b", "write", {}))
    tags = ("tags", "monitoring other")
    who = [("username", "ann"), ("vhost", "/")]
    assert service.asked == [
        ("GET", "/vhost", [*who, ("ip", "192.0.2.7"), tags]),
        (
            "GET",
            "/resource",
            [*who, ("resource", "queue"), ("name", "q&1"), ("permission", "read"), tags],
        ),
        (
            "GET",
            "/topic",
            [
                *who,
                ("resource", "topic"),
                ("name", "x"),
                ("permission", "write"),
                tags,
                ("routing_key", "a.b"),
                ("variable_map.username", "ann"),
                ("variable_map.vhost", "/"),
            ],
        ),
    ]


async def test_a_permission_is_asked_once_in_a_while(service: Service) -> None:
    authority = await service.authority()
    question = partial(authority.may_use, "/", "queue", "q", "read")
    with pytest.raises(Unanswered):
        question()
    for _ in range(3):
        assert await answered(question)
    assert len(service.asked) == 1
    service.clock.now = 15
    service.words = "deny"
    for _ in range(2):
        assert not await answered(question)
    assert len(service.asked) == 3


async def test_a_login_is_remembered_by_name_and_password(service: Service) -> None:
    for password in (b"secret", b"secret", b"other", None, None):
        await service.backend.log_in("ann", password, PEER)
    assert len(service.asked) == 3
    assert b"secret" not in repr(service.backend._cache._answers).encode()


async def test_another_backend_may_know_who_it_is(service: Service) -> None:
    service.words = "allow administrator"
    grant = await service.backend.authorize("ann", b"secret", PEER)
    assert grant.tags == ()
    assert await grant.authority.renew(b"other") is None


async def test_a_url_may_have_a_query_of_its_own() -> None:
    urls: list[str] = []

    async def ask(_method: str, url: str, _form: str | None) -> tuple[int, bytes]:
        urls.append(url)
        return 200, b"allow"

    paths = PATHS._replace(user="http://auth/user?realm=mq")
    await HttpBackend(paths, ask, AnswerCache(15, 100, Clock())).log_in("ann", None, PEER)
    assert urls == ["http://auth/user?realm=mq&username=ann"]
