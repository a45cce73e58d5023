"""GSSAPI: what is said when, and who comes of it. A real KDC is asked in tests/features."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.gssapi import Gssapi, GssapiLogin, is_offered, split_principal
from amqpbroker.auth.sasl.mechanism import (
    Challenge,
    Context,
    Identity,
    Peer,
    SaslSettings,
    Step,
    Work,
)
from amqpbroker.auth.users import UserStore
from amqpbroker.errors import HardError
from interop.fuzz.targets.sasl import Ticket

OFFER = Challenge(b"\x01\0\0\0")


class OneWayTicket(Ticket):
    """For a client that wants no proof from us."""

    def accept(self, token: bytes) -> bytes:
        super().accept(token)
        return b""


def context(login: GssapiLogin | None) -> Context:
    return Context(UserStore(), Peer(False), SaslSettings(gssapi=login))


def begin(ticket: type[Ticket] = Ticket, realms: tuple[str, ...] = ()) -> Gssapi:
    return Gssapi(context(GssapiLogin(ticket, frozenset(realms))))


def done(step: Step) -> Step:
    return step.run() if isinstance(step, Work) else step


def log_in(login: Gssapi, *responses: bytes) -> Step:
    steps = [done(login.step(response)) for response in responses]
    return steps[-1]


def test_it_is_offered_where_there_are_keys() -> None:
    assert is_offered(context(GssapiLogin(Ticket)))
    assert not is_offered(context(None))


def test_each_step_of_a_login() -> None:
    login = begin()
    accepting = login.step(b"ann@R")
    assert isinstance(accepting, Work), "reading keys and the replay cache may block"
    assert accepting.run() == Challenge(b"a")
    assert login.step(b"") == OFFER
    assert login.step(b"\x01\0\0\0") == Identity("ann")


def test_without_a_proof_of_ours_the_layers_follow_at_once() -> None:
    login = begin(OneWayTicket)
    assert done(login.step(b"ann@R")) == OFFER
    assert login.step(b"\x01\0\0\0") == Identity("ann")


def test_a_client_without_a_first_token_is_asked_for_it_once() -> None:
    login = begin()
    assert login.step(b"") == Challenge(b"")
    assert done(login.step(b"ann@R")) == Challenge(b"a")
    assert isinstance(begin().step(b"x"), Work)
    again = begin()
    again.step(b"")
    assert isinstance(again.step(b""), Work)


def test_a_context_of_several_tokens() -> None:
    assert log_in(begin(), b"more", b"ann@R") == Challenge(b"a")


@pytest.mark.parametrize("wanted", [b"", b"ann", b"ann@R"])
def test_who_says_whom_it_wants_to_be(wanted: bytes) -> None:
    assert log_in(begin(), b"ann@R", b"", b"\x01\0\0\0" + wanted) == Identity("ann")


@pytest.mark.parametrize("wanted", [b"bob", b"ann@S", b"ann ", b"ANN", b"\xff"])
def test_nobody_is_somebody_else(wanted: bytes) -> None:
    with pytest.raises(AuthenticationFailed, match="user 'ann' wants to be"):
        log_in(begin(), b"ann@R", b"", b"\x01\0\0\0" + wanted)


@pytest.mark.parametrize(
    "chosen",
    [b"", b"\x01", b"\x01\0\0", b"\x00\0\0\0", b"\x02\0\0\0", b"\x04\0\xff\xff", b"\x03\0\0\0"],
)
def test_there_is_no_layer_to_choose(chosen: bytes) -> None:
    with pytest.raises(HardError, match="GSSAPI response is invalid"):
        log_in(begin(), b"ann@R", b"", chosen)


def test_our_proof_is_answered_with_nothing() -> None:
    with pytest.raises(HardError, match="GSSAPI response is invalid"):
        log_in(begin(), b"ann@R", b"x")


@pytest.mark.parametrize(
    ("principal", "parts"),
    [
        (b"ann@R", ("ann", "R")),
        (b"ann/admin@R", ("ann/admin", "R")),
        (b"\xff@R", ("\udcff", "R")),
    ],
)
def test_the_name_is_all_before_the_realm(principal: bytes, parts: tuple[str, str]) -> None:
    assert split_principal(principal) == parts


@pytest.mark.parametrize(
    "principal", [b"", b"ann", b"@R", b"ann@", rb"ann\@S@R", rb"ann\/admin@R", rb"ann@R\@S"]
)
def test_a_principal_that_could_be_taken_for_another_is_refused(principal: bytes) -> None:
    with pytest.raises(AuthenticationFailed, match="no user can be made of principal"):
        split_principal(principal)


def test_only_our_own_realm_counts_unless_others_are_named() -> None:
    assert log_in(begin(), b"ann@R", b"", OFFER.data) == Identity("ann")
    with pytest.raises(AuthenticationFailed, match="'ann@S' is of another realm"):
        log_in(begin(), b"ann@S")
    both = partial(begin, realms=("R", "S"))
    assert log_in(both(), b"ann@S", b"", OFFER.data) == Identity("ann")
    with pytest.raises(AuthenticationFailed, match="'ann@R' is of another realm"):
        log_in(begin(realms=("S",)), b"ann@R")


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
def test_whatever_is_said_it_is_a_step_or_a_refusal(responses: list[bytes]) -> None:
    login = begin()
    for response in responses:
        try:
            outcome = done(login.step(response))
        except (HardError, AuthenticationFailed):
            return
        if isinstance(outcome, Identity):
            return
        assert isinstance(outcome, Challenge)
