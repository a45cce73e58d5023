"""The index of a topic exchange: a trie with one node per word of a binding key.

Words are split at every ``.``. ``*`` stands for one word, which may be empty, ``#`` for zero or
more; either is a wildcard only as a whole word (FEATURES A12.3). The empty key has no words at
all, so only ``#`` (or ``#.#``…) and the empty binding key match it::

    bind a.*.c, a.#        root ─ a ─┬─ * ─ c   ●
                                     └─ #       ●

A match walks the trie like a nondeterministic automaton: it holds the set of nodes that the
words so far can have led to. A ``#`` node stays in the set whatever word follows, and entering
a node also enters its ``#`` child (zero words). No node is in the set twice, so no binding key,
however many ``#`` it has, makes a match blow up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from amqpbroker.routing.binding import Destination

ANY_WORD: Final = "*"
ANY_WORDS: Final = "#"


class _Node:
    """One word of some binding keys."""

    __slots__ = ("any_words", "children", "destinations", "is_any_words")

    def __init__(self, *, is_any_words: bool = False) -> None:
        self.is_any_words = is_any_words
        self.any_words: _Node | None = None
        self.children: dict[str, _Node] | None = None
        self.destinations: dict[Destination, int] | None = None
        """With the number of bindings that lead here, as arguments may tell them apart."""

    def child(self, word: str) -> _Node | None:
        if word == ANY_WORDS:
            return self.any_words
        return self.children.get(word) if self.children else None

    def create_child(self, word: str) -> _Node:
        if word == ANY_WORDS:
            self.any_words = node = _Node(is_any_words=True)
            return node
        if self.children is None:
            self.children = {}
        node = self.children[word] = _Node()
        return node

    def drop_child(self, word: str) -> None:
        if word == ANY_WORDS:
            self.any_words = None
        elif self.children is not None:
            del self.children[word]
            if not self.children:
                self.children = None

    def is_empty(self) -> bool:
        return self.destinations is None and self.children is None and self.any_words is None


def split_words(key: str) -> list[str]:
    """Return the words of a routing or binding key; the empty key has none."""
    return key.split(".") if key else []


class TopicTrie:
    """Binding keys and their destinations."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root = _Node()

    def is_empty(self) -> bool:
        """Return whether nothing is left: neither a destination nor a node."""
        return self._root.is_empty()

    def add(self, binding_key: str, destination: Destination) -> None:
        """Add a destination under a key; the same pair may be added several times."""
        node = self._root
        for word in split_words(binding_key):
            node = node.child(word) or node.create_child(word)
        if node.destinations is None:
            node.destinations = {}
        node.destinations[destination] = node.destinations.get(destination, 0) + 1

    def remove(self, binding_key: str, destination: Destination) -> None:
        """Undo one :meth:`add` and prune the nodes that only it needed.

        Raises KeyError if there was no such add.
        """
        path: list[tuple[_Node, str]] = []
        node = self._root
        for word in split_words(binding_key):
            path.append((node, word))
            child = node.child(word)
            if child is None:
                raise KeyError(binding_key)
            node = child
        if node.destinations is None:
            raise KeyError(binding_key)
        node.destinations[destination] -= 1
        if node.destinations[destination]:
            return
        del node.destinations[destination]
        if not node.destinations:
            node.destinations = None
        while path and node.is_empty():
            node, word = path.pop()
            node.drop_child(word)

    def match(self, routing_key: str) -> list[Destination]:
        """Return the destinations whose binding key matches; one may come several times."""
        nodes: dict[_Node, None] = {}
        _enter(self._root, nodes)
        for word in split_words(routing_key):
            reached: dict[_Node, None] = {}
            for node in nodes:
                if node.is_any_words:
                    _enter(node, reached)
                children = node.children
                if children is None:
                    continue
                if (child := children.get(word)) is not None:
                    _enter(child, reached)
                if (child := children.get(ANY_WORD)) is not None:
                    _enter(child, reached)
            if not reached:
                return []
            nodes = reached
        return [destination for node in nodes for destination in node.destinations or ()]


def _enter(node: _Node | None, nodes: dict[_Node, None]) -> None:
    """Add a node to the set, and the ``#`` nodes below it that zero words lead to."""
    while node is not None:
        nodes[node] = None
        node = node.any_words
