"""The trie against a brute-force matcher, and its cost in time and memory."""

from __future__ import annotations

import random
import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.routing.binding import Destination
from amqpbroker.routing.topic_trie import TopicTrie, split_words

WORDS = st.sampled_from(["", "a", "b", "ab", "*", "#", "*a", "##"])
KEYS = st.lists(WORDS, max_size=6).map(".".join)


@cache
def model(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Return whether a pattern matches, straight from the definition of the two wildcards."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return model(pattern[1:], words) or (bool(words) and model(pattern, words[1:]))
    return bool(words) and pattern[0] in ("*", words[0]) and model(pattern[1:], words[1:])


def is_match(binding_key: str, routing_key: str) -> bool:
    return model(tuple(split_words(binding_key)), tuple(split_words(routing_key)))


def queue(name: str) -> Destination:
    return Destination("queue", name)


def trie_of(*binding_keys: str) -> TopicTrie:
    trie = TopicTrie()
    for key in binding_keys:
        trie.add(key, queue(key))
    return trie


@given(st.lists(KEYS, max_size=30), KEYS)
def test_agrees_with_the_model(binding_keys: list[str], routing_key: str) -> None:
    matched = {found.name for found in trie_of(*binding_keys).match(routing_key)}
    assert matched == {key for key in binding_keys if is_match(key, routing_key)}


def test_agrees_with_the_model_on_100_000_random_pairs() -> None:
    source = random.Random(20240229)

    def random_key(words: str) -> str:
        return ".".join(source.choices(words, k=source.randrange(1, 7)))

    pairs = hits = 0
    for _ in range(100):
        binding_keys = {random_key("abc**##") for _ in range(100)}
        trie = trie_of(*binding_keys)
        for routing_key in {random_key("abc") for _ in range(20)}:
            expected = {key for key in binding_keys if is_match(key, routing_key)}
            assert {found.name for found in trie.match(routing_key)} == expected
            pairs += len(binding_keys)
            hits += len(expected)
    assert pairs > 100_000
    assert hits > 10_000, "the pairs are too unlike to test anything"


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=60))
def test_agrees_with_a_list_whatever_is_added_and_removed(steps: list[tuple[bool, str]]) -> None:
    trie, kept = TopicTrie(), list[str]()
    for is_add, key in steps:
        if is_add:
            trie.add(key, queue(key))
            kept.append(key)
        elif key in kept:
            trie.remove(key, queue(key))
            kept.remove(key)
        for routing_key in ("", "a", "a.b", "*.a"):
            expected = {key for key in kept if is_match(key, routing_key)}
            assert {found.name for found in trie.match(routing_key)} == expected
    for key in kept:
        trie.remove(key, queue(key))
    assert trie.is_empty()


def test_a_pair_added_twice_must_be_removed_twice() -> None:
    trie = trie_of("a.#", "a.#")
    trie.remove("a.#", queue("a.#"))
    assert trie.match("a") == [queue("a.#")]
    trie.remove("a.#", queue("a.#"))
    assert trie.match("a") == []


@pytest.mark.parametrize("binding_key", ["a.b", "a", "a.b.c.d", "#", ""])
def test_removing_what_was_never_added_is_an_error(binding_key: str) -> None:
    trie = trie_of("a.b.c")
    with pytest.raises(KeyError):
        trie.remove(binding_key, queue("q"))


def test_removing_prunes_the_nodes_that_nothing_else_needs() -> None:
    trie = trie_of("a.b.c", "a.#.d")
    trie.remove("a.b.c", queue("a.b.c"))
    assert trie.match("a.b.c") == []
    assert trie.match("a.x.d") == [queue("a.#.d")]
    trie.remove("a.#.d", queue("a.#.d"))
    assert trie.is_empty()


def test_many_any_words_in_one_key_do_not_blow_up() -> None:
    trie = trie_of(".".join(["#"] * 100 + ["end"]))
    started = time.perf_counter()
    assert trie.match(".".join(["a"] * 100)) == []
    assert time.perf_counter() - started < 2


def test_100_000_binding_keys_are_added_matched_and_removed_quickly() -> None:
    keys = [f"{number % 1000}.{'*' if number % 3 else 'x'}.{number}.#" for number in range(100_000)]
    started = time.perf_counter()
    trie = trie_of(*keys)
    for _ in range(1000):
        assert trie.match("77.x.52077.e.f") == [queue(keys[52_077])]
    for key in keys:
        trie.remove(key, queue(key))
    assert trie.is_empty()
    assert time.perf_counter() - started < 10
