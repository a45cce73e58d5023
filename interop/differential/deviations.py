"""Differences that are intended, each with its reason.

The broker follows RabbitMQ 3.13 to 4.2 where that differs from the oracle's version, and it
names an error where the oracle's process crashes. A deviation looks at both sides of one step.
``is_contained`` tells whether the two brokers are in the same state after it, so that comparing
may go on; otherwise it ends with that step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.differential.compare import Difference


@dataclass(frozen=True)
class Deviation:
    """An intended difference."""

    name: str
    reason: str
    matches: Callable[[Difference], bool]
    is_contained: bool = False


_LAST_DEATH: Final = re.compile(r",? ?x-last-death-(?:reason|queue|exchange):S:'[^']*'")
_DEATH: Final = re.compile(r"\{((?:original-expiration|count):[^{}]*)\}")
_ENTRY: Final = re.compile(r"\{[^{}]*\}")
_FIELD: Final = re.compile(r"[a-z-]+:(?:\[[^\]]*\]|[^,\[]*)")
_DEATHS: Final = re.compile(r"x-death:\[(\{.*?\})\](?=[,}] ?)")
_DELIVERY_TAG: Final = re.compile(r"delivery_tag=\d+")
_TAGS: Final = re.compile(r"consumer_tag='[^']*' delivery_tag=[\d*]+")
_HARD_CLOSE: Final = re.compile(r"connection\.close reply_code=5(?:01|02|03|04|05|30|40) ")
_READY: Final = re.compile(r"queue .*: ready=(\d+) ")
_QUORUM_COUNTS: Final = re.compile(
    r"(queue ~qq\d: ready=\d+ |.* queue\.declare-ok queue='~qq\d' .*)consumer(?:s|_count)=(\d+)"
)
_CRASH: Final = ("end-of-file", "connection.close reply_code=541 reply_text='INTERNAL_ERROR'")


def _is_named_crash(difference: Difference) -> bool:
    left, right = difference.only_oracle, difference.only_subject
    return (
        len(left) == len(right) == 1
        and any(each in left[0] for each in _CRASH)
        and _HARD_CLOSE.search(right[0]) is not None
    )


def _is_crash_told_on_channel(difference: Difference) -> bool:
    left, right = difference.only_oracle, difference.only_subject
    is_crash = any(each in line for each in _CRASH for line in left)
    return is_crash and any("channel.close reply_code=4" in each for each in right)


def _declares_own_reply_address(difference: Difference) -> bool:
    """The requester asks for its own direct reply-to queue: RabbitMQ's channel calls itself."""
    left, right = difference.only_oracle, difference.only_subject
    is_crash = any(_CRASH[1] in each for each in left)
    return is_crash and any("queue.declare-ok queue='$reply" in each for each in right)


def _expires_behind_the_head(difference: Difference) -> bool:
    """Something may have expired, and the subject holds fewer messages in some queue.

    What else the subject has is dead letters that expired, or the same ones in another order.
    """
    left, right = difference.only_oracle, difference.only_subject
    if _gets_another_expired(left, right):
        return True
    if not difference.step.rest_ms and not _publishes_with_expiration(difference):
        return False
    if sorted(map(_letter, left)) == sorted(map(_letter, right)):
        return all("reason:S:'expired'" in line for line in right)
    dead = [line for line in right if "reason:S:'expired'" in line]
    rest = [line for line in right if line not in dead]
    if not all(_READY.match(line) for line in [*left, *rest]):
        return False
    counts = [(_ready(one), _ready(other)) for one, other in zip(left, rest, strict=False)]
    return bool(dead) or any(other < one for one, other in counts)


def _expired_go_to_others(difference: Difference) -> bool:
    """The same dead letters that expired are delivered to other consumers: in another order."""
    left, right = difference.only_oracle, difference.only_subject
    is_expired = all(
        "basic.deliver" in line and "reason:S:'expired'" in line for line in left + right
    )
    same = [sorted(_letter(_TAGS.sub("", line)) for line in lines) for lines in (left, right)]
    return is_expired and same[0] == same[1]


def _gets_another_expired(left: list[str], right: list[str]) -> bool:
    """Each side gets a dead letter that expired; which one comes first differs."""
    return len(left) == len(right) > 0 and all(
        "basic.get-ok" in line and "reason:S:'expired'" in line for line in [*left, *right]
    )


def _requeue_races_with_an_ack(difference: Difference) -> bool:
    """Another order of deliveries after a requeue and other settles that were sent in one go."""
    settles = [op.args for op in difference.step.ops if op.name == "settle"]
    is_requeue = any(each.get("requeue") and each["method"] != "basic.ack" for each in settles)
    left, right = difference.only_oracle, difference.only_subject
    is_delivery = all("basic.deliver" in line for line in [*left, *right])
    same = sorted(_DELIVERY_TAG.sub("", line) for line in left) == sorted(
        _DELIVERY_TAG.sub("", line) for line in right
    )
    return is_requeue and len(settles) > 1 and is_delivery and same


def _ack_overtakes_requeue(difference: Difference) -> bool:
    """The same messages come again, to others, after a requeue and an ack behind it in one go."""
    settles = [op.args for op in difference.step.ops if op.name == "settle"]
    requeues = [
        place
        for place, each in enumerate(settles)
        if each.get("requeue") and each["method"] != "basic.ack"
    ]
    is_ack_behind = bool(requeues) and any(
        each["method"] == "basic.ack" for each in settles[requeues[0] :]
    )
    left, right = difference.only_oracle, difference.only_subject
    is_again = all("basic.deliver" in line and "redelivered=True" in line for line in left + right)
    same = sorted(_TAGS.sub("", line) for line in left) == sorted(
        _TAGS.sub("", line) for line in right
    )
    return is_ack_behind and is_again and same


def _counts_what_was_got(difference: Difference) -> bool:
    """The subject delivers more, on a channel whose prefetch was set while it held gets."""
    places = [
        (f"c{step.connection}.{step.channel} ", op)
        for step in difference.earlier
        for op in step.ops
    ]
    gets = [at for at, op in places if op.name == "basic.get" and not op.args.get("no_ack")]
    limited = {
        at
        for at, op in places
        if op.name == "basic.qos" and op.args.get("global") and op.args.get("prefetch_count")
    }
    left, right = difference.only_oracle, difference.only_subject
    more = [line for line in right if not _READY.match(line)]
    counts = sum(map(_ready, left)) - sum(map(_ready, right))
    return (
        bool(more)
        and all("basic.deliver" in line for line in more)
        and all(any(line.startswith(at) for at in limited.intersection(gets)) for line in more)
        and all(_READY.match(line) for line in left)
        and counts == len(more)
    )


def _letter(line: str) -> str:
    """Return a dead letter whatever its place and the version of its headers."""
    return _DELIVERY_TAG.sub("", _sorted_deaths(_LAST_DEATH.sub("", line)))


def _publishes_with_expiration(difference: Difference) -> bool:
    names = [
        each[0]
        for op in difference.step.ops
        if op.name == "publish"
        for each in op.args.get("properties", [])
    ]
    return "expiration" in names


def _requeues_for_several_consumers(difference: Difference) -> bool:
    """Only who gets what again differs, after a nack or recover of several deliveries."""
    lines = [*difference.only_oracle, *difference.only_subject]
    is_multiple = any(
        op.args.get("multiple") or op.name.startswith("basic.recover") for op in difference.step.ops
    )
    is_again = all("basic.deliver" in line and "redelivered=True" in line for line in lines)
    return is_multiple and is_again


def _counts_holders(difference: Difference) -> bool:
    """Only numbers of consumers of quorum queues differ, and the oracle's are higher."""
    left, right = difference.only_oracle, difference.only_subject
    counts = [_QUORUM_COUNTS.fullmatch(line) for line in (*left, *right)]
    if len(left) != len(right) or not all(counts):
        return False
    found = [(match[1], int(match[2])) for match in counts if match is not None]
    pairs = zip(found[: len(left)], found[len(left) :], strict=True)
    return all(one[0] == other[0] and one[1] > other[1] for one, other in pairs)


def _answers_mandatory(difference: Difference) -> bool:
    """Only the return of a mandatory direct reply is missing."""
    left, right = difference.only_oracle, difference.only_subject
    is_return = all("basic.return" in line and "routing_key='$reply" in line for line in left)
    return bool(left) and is_return and not right


def _ready(line: str) -> int:
    match = _READY.match(line)
    return int(match[1]) if match else 0


def _has_last_death(difference: Difference) -> bool:
    """The sides are equal without x-last-death-* and whatever the order within x-death."""
    if not any(_LAST_DEATH.search(line) for line in difference.subject):
        return False
    oracle = [_sorted_deaths(line) for line in difference.oracle]
    subject = [_LAST_DEATH.sub("", line) for line in difference.subject]
    return [_sorted_deaths(line) for line in subject] == oracle


def _sorted_deaths(line: str) -> str:
    """Return a line with the entries of x-death and the fields of each entry in fixed order."""
    line = _DEATH.sub(_sorted_fields, line)
    return _DEATHS.sub(lambda deaths: str(sorted(_ENTRY.findall(deaths[1]))), line)


def _sorted_fields(death: re.Match[str]) -> str:
    """Return an entry of x-death with its fields sorted by name."""
    return "{" + ", ".join(sorted(_FIELD.findall(death[1]))) + "}"


def _is_unknown_type(difference: Difference) -> bool:
    left, right = difference.only_oracle, difference.only_subject
    return any("reply_code=503" in each and "exchange type '" in each for each in left) and any(
        "reply_code=406" in each and "exchange type '" in each for each in right
    )


def _has_odd_delivery_mode(difference: Difference) -> bool:
    left, right = difference.only_oracle, difference.only_subject
    refused = "invalid message: {delivery_mode_unknown"
    return any(refused in each for each in left) and not any("close" in each for each in right)


DEVIATIONS: Final = (
    Deviation(
        "unknown exchange type is 406 on the channel",
        "RabbitMQ 3.13 and later; 3.10 closes the connection with 503 (FEATURES A3.3)",
        _is_unknown_type,
    ),
    Deviation(
        "x-last-death-* headers, other order within x-death",
        "RabbitMQ 3.13 and later; 3.10 turns older entries round (FEATURES A10.2, A10.4)",
        _has_last_death,
        is_contained=True,
    ),
    Deviation(
        "delivery modes other than 1 and 2 are tolerated",
        "RabbitMQ 3.13 and later (FEATURES A5.11)",
        _has_odd_delivery_mode,
    ),
    Deviation(
        "an error has a name",
        "RabbitMQ's process crashes (541, or the socket closes, after 3 s in a handshake); "
        "we close with the code that fits (FEATURES A1.9, A1.17)",
        _is_named_crash,
        is_contained=True,
    ),
    Deviation(
        "an error has a name and costs the channel only",
        "RabbitMQ's channel process crashes (541); we close the channel with the code that fits",
        _is_crash_told_on_channel,
    ),
    Deviation(
        "messages expire anywhere in a queue",
        "RabbitMQ drops the dead at the head only (FEATURES A9.2, N12)",
        _expires_behind_the_head,
    ),
    Deviation(
        "messages expire when it is time, whatever their priority",
        "RabbitMQ drops those of higher priorities first (FEATURES A9.2, N12)",
        _expired_go_to_others,
    ),
    Deviation(
        "what was got is no part of a prefetch",
        "RabbitMQ counts messages held from basic.get when a channel's prefetch is set, and does "
        "not count them off when they are settled (FEATURES A6.6)",
        _counts_what_was_got,
    ),
    Deviation(
        "several requeued messages are delivered in their order",
        "RabbitMQ returns them consumer by consumer and delivers in between (FEATURES A6.9)",
        _requeues_for_several_consumers,
        is_contained=True,
    ),
    Deviation(
        "what is requeued is ahead of what comes later",
        "RabbitMQ's queue hears of the room that an ack sent with it made before it hears of the "
        "requeue (FEATURES A6.9)",
        _requeue_races_with_an_ack,
        is_contained=True,
    ),
    Deviation(
        "what is requeued goes to whoever has room then",
        "RabbitMQ's queue reads acks (priority 4) before requeues (0), so that whoever has sent an "
        "ack behind a requeue may get what came back (FEATURES A6.4, A6.9)",
        _ack_overtakes_requeue,
    ),
    Deviation(
        "who has left or only got a message is no consumer",
        "RabbitMQ counts one of a quorum queue until its deliveries are settled (FEATURES A11.1)",
        _counts_holders,
        is_contained=True,
    ),
    Deviation(
        "a mandatory reply to a requester that is there is not returned",
        "RabbitMQ 4.2 and later (FEATURES A5.16)",
        _answers_mandatory,
        is_contained=True,
    ),
    Deviation(
        "a requester may declare its own reply address",
        "RabbitMQ's channel calls itself and crashes with 541 (FEATURES A4.4)",
        _declares_own_reply_address,
    ),
)


def find_deviation(difference: Difference) -> Deviation | None:
    """Return the deviation that explains a difference, or None."""
    return next((each for each in DEVIATIONS if each.matches(difference)), None)
