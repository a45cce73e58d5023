"""The bookkeeping of the crash test finds what must not be, and nothing else."""

from __future__ import annotations

from interop.crash.history import Found, History, Move


def found(*names: str) -> list[Found]:
    return [Found(name, True) for name in names]


def sent(*names: str) -> History:
    """Return a history with messages published to q, and not confirmed."""
    history = History()
    for name in names:
        history.send(name, "q")
    return history


def promised(*names: str) -> History:
    history = sent(*names)
    for name in names:
        history.promise(name, "q")
    return history


def test_what_was_confirmed_must_be_there() -> None:
    history = promised("p-1", "p-2")
    history.compare({"q": found("p-2")})
    assert history.problems == ["q: p-1 was confirmed and is lost"]
    assert history.counts["lost"] == 1


def test_what_was_not_confirmed_may_be_there_or_not() -> None:
    history = sent("p-1", "p-2")
    history.compare({"q": found("p-1")})
    assert history.problems == []


def test_what_was_found_once_must_stay() -> None:
    history = sent("p-1")
    history.compare({"q": found("p-1")})
    history.compare({"q": []})
    assert history.problems == ["q: p-1 was confirmed and is lost"]


def test_what_was_not_found_once_must_stay_away() -> None:
    history = sent("p-1")
    history.compare({"q": []})
    history.compare({"q": found("p-1")})
    assert history.problems == ["q: p-1 was settled for sure and is back"]


def test_an_ack_that_is_not_sure_allows_both() -> None:
    for contents in (found("p-1"), []):
        history = promised("p-1")
        history.leave("q", "p-1")
        history.compare({"q": contents})
        assert history.problems == []


def test_an_ack_that_is_sure_is_final() -> None:
    history = promised("p-1")
    history.leave("q", "p-1")
    history.be_sure("q", "p-1")
    history.deliver("q", "p-1", redelivered=True)
    history.compare({"q": found("p-1")})
    assert history.problems == [
        "q: p-1 was settled for sure and is delivered again",
        "q: p-1 was settled for sure and is back",
    ]


def test_a_message_may_be_settled_before_it_is_confirmed() -> None:
    history = sent("p-1")
    history.leave("q", "p-1")
    history.promise("p-1", "q")
    history.compare({"q": []})
    assert history.problems == []


def test_a_second_delivery_is_flagged() -> None:
    history = promised("p-1")
    history.deliver("q", "p-1", redelivered=False)
    history.deliver("q", "p-1", redelivered=True)
    assert history.problems == []
    history.deliver("q", "p-1", redelivered=False)
    history.compare({"q": [Found("p-1", False)]})
    assert history.problems == [
        "q: p-1 comes again, not flagged as redelivered",
        "q: p-1 is not flagged as redelivered",
    ]


def test_order_holds_for_each_publisher() -> None:
    history = promised("p-1", "p-2", "p-10", "r-1")
    history.compare({"q": found("p-1", "r-1", "p-10", "p-2")})
    assert history.problems == ["q: p-2 comes after p-10"]


def test_strangers_and_doubles_are_noticed() -> None:
    history = promised("p-1")
    history.deliver("q", "p-7", redelivered=False)
    history.compare({"q": found("p-1", "p-1")})
    assert history.problems[:2] == [
        "q: p-7 was never published there",
        "q: a message is there twice",
    ]


def test_half_a_transaction_is_noticed() -> None:
    history = History()
    history.send_together(("q", "p-1"), ("r", "p-2"))
    history.compare({"q": found("p-1"), "r": []})
    assert history.problems == ["half a transaction is there: [('q', 'p-1'), ('r', 'p-2')]"]


def test_a_transaction_is_there_or_not() -> None:
    for there in (True, False):
        history = History()
        history.send_together(("q", "p-1"), ("r", "p-2"))
        contents = {"q": found("p-1"), "r": found("p-2")} if there else {"q": [], "r": []}
        history.compare(contents)
        assert history.problems == []


def test_a_moved_message_is_in_one_place() -> None:
    for here, there, problems in (
        (["p-1"], [], 0),
        ([], ["m-1"], 0),
        (["p-1"], ["m-1"], 1),
        ([], [], 1),
    ):
        history = promised("p-1")
        history.move(Move("q", "p-1", "r", "m-1"))
        history.compare({"q": found(*here), "r": found(*there)})
        assert len(history.problems) == problems
