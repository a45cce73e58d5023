"""Lists over HTTP: pages, columns, sorting (FEATURES A18.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.management.http_api import reason

if TYPE_CHECKING:
    from tests.management.http_api import HttpApi


@pytest.fixture
def vhost(api: HttpApi, name: str) -> Any:
    """A vhost with the queues a1, a2, b1, b2 and B3."""
    assert api("PUT", f"/vhosts/{name}").status == 201
    for queue in ("b2", "a1", "B3", "b1", "a2"):
        durable = queue.endswith("1")
        assert api("PUT", f"/queues/{name}/{queue}", {"durable": durable}).status == 201
    yield f"/queues/{name}"
    assert api("DELETE", f"/vhosts/{name}").status == 204


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def test_a_list_is_sorted_by_name(api: HttpApi, vhost: str) -> None:
    assert names(api.get(vhost)) == ["B3", "a1", "a2", "b1", "b2"]


def test_a_page_counts_what_there_is(api: HttpApi, vhost: str) -> None:
    shown = api.get(f"{vhost}?page=2&page_size=2&columns=name")
    assert shown == {
        "items": [{"name": "a2"}, {"name": "b1"}],
        "page": 2,
        "page_size": 2,
        "page_count": 3,
        "item_count": 2,
        "filtered_count": 5,
        "total_count": 5,
    }


def test_a_page_behind_the_end_is_out_of_range(api: HttpApi, vhost: str) -> None:
    answer = api("GET", f"{vhost}?page=9&page_size=2")
    assert answer.status == 400
    text = "Page out of range, page: 9 page size: 2, len: 5"
    assert answer.body == {"error": "page_out_of_range", "reason": text}


def test_the_page_right_behind_the_last_is_empty(api: HttpApi, vhost: str) -> None:
    shown = api.get(f"{vhost}?page=6&page_size=1")
    assert (shown["items"], shown["page_count"]) == ([], 5)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=b", ["B3", "b1", "b2"]),
        ("name=1&use_regex=false", ["a1", "b1"]),
        ("name=^[ab]1$&use_regex=true", ["a1", "b1"]),
        ("name=nope", []),
    ],
)
def test_names_are_filtered(api: HttpApi, vhost: str, query: str, found: list[str]) -> None:
    shown = api.get(f"{vhost}?page=1&{query}")
    assert names(shown["items"]) == found
    assert (shown["filtered_count"], shown["total_count"]) == (len(found), 5)


@pytest.mark.parametrize("query", ["page=x", "page=0", "page=1&page_size=501"])
def test_pages_that_make_no_sense_are_refused(api: HttpApi, vhost: str, query: str) -> None:
    assert api("GET", f"{vhost}?{query}").status == 400


def test_the_text_of_a_refusal(api: HttpApi, vhost: str) -> None:
    text = "Pagination parameters are invalid"
    assert reason(api("GET", f"{vhost}?page=x")) == (400, text)


@pytest.mark.deviates("RabbitMQ 3.10 answers 500")
def test_an_expression_that_is_none_is_refused(api: HttpApi, vhost: str) -> None:
    assert api("GET", f"{vhost}?page=1&use_regex=true&name=(").status == 400


@pytest.mark.deviates("RabbitMQ's expressions have limits, Python's have not")
def test_expressions_are_for_monitoring(manager: HttpApi) -> None:
    answer = manager("GET", "/queues?page=1&use_regex=true&name=a")
    assert reason(answer) == (401, "Not monitor user")


@pytest.mark.deviates("RabbitMQ's expressions have limits, Python's have not")
def test_an_expression_that_could_take_long_is_for_administrators(
    api: HttpApi, manager: HttpApi, vhost: str, name: str
) -> None:
    assert api("PUT", f"/users/u-{name}", {"password": "p", "tags": "monitoring"}).status == 204
    slow = "page=1&use_regex=true&name=(a|a)*$"
    status, text = reason(manager("GET", f"/queues?{slow}"))
    assert status == 400
    assert "take too long" in text
    assert manager("GET", "/queues?page=1&use_regex=true&name=^a").status == 200
    assert api("GET", f"{vhost}?{slow}").status == 200


def test_sorting_by_a_column(api: HttpApi, vhost: str) -> None:
    rows = api.get(f"{vhost}?sort=durable&columns=name,durable")
    assert [row["durable"] for row in rows] == [False, False, False, True, True]
    reverse = api.get(f"{vhost}?sort=name&sort_reverse=true")
    assert names(reverse) == ["b2", "b1", "a2", "a1", "B3"]
    page = api.get(f"{vhost}?sort=name&sort_reverse=true&page=1&page_size=2")
    assert names(page["items"]) == ["b2", "b1"]


def test_columns(api: HttpApi, vhost: str) -> None:
    rows = api.get(f"{vhost}?columns=name,durable,nope")
    assert rows[0] == {"name": "B3", "durable": False}
