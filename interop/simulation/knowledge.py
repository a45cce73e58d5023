"""What is known of settles: which were handled, and which are durable (see ``model``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interop.simulation.things import Party, Settle


class Mark(NamedTuple):
    """What was true when something was sent that will be answered."""

    settle_count: int
    """Of the channel."""
    message_count: int
    """Of the channel."""
    handled_count: int
    """Of the world."""


class Knowledge:
    """All settles that were handled, in the order in which that became known."""

    def __init__(self) -> None:
        self.life = 0
        self._handled: list[Settle] = []
        self._durable_count = 0

    def mark(self, party: Party) -> Mark:
        """Return what is true now, for when the answer comes."""
        return Mark(len(party.settles), len(party.messages), len(self._handled))

    def handle(self, party: Party, mark: Mark) -> None:
        """The broker has answered what was sent with ``mark``."""
        if mark.settle_count > party.handled_count:
            for item in party.settles[party.handled_count : mark.settle_count]:
                self.note_handled(item)
            party.handled_count = mark.settle_count
        if mark.message_count > party.handled_message_count:
            for message in party.messages[party.handled_message_count : mark.message_count]:
                message.handled_in_life = self.life
            party.handled_message_count = mark.message_count

    def confirm(self, party: Party, mark: Mark) -> None:
        """Something that was sent with ``mark``, and all that was handled before, is durable."""
        own = party.settles[party.durable_count : mark.settle_count]
        party.durable_count = max(party.durable_count, mark.settle_count)
        self.make_durable(own, mark.handled_count)

    def stop(self, *, is_clean: bool) -> None:
        """A life is over; if it was not ``is_clean``, what is not durable is open again."""
        if is_clean:
            self.make_durable((), len(self._handled))
        self._durable_count = len(self._handled)
        self.life += 1

    def note_handled(self, item: Settle) -> None:
        """The broker has acted on a settle."""
        copy = item.copy
        if item.is_leaving:
            copy.left_in_life = self.life
        else:
            copy.gone_in_life = self.life
        self._handled.append(item)

    def make_durable(self, own: Iterable[Settle], handled_count: int) -> None:
        """Settles ``own``, and the first that were handled, will never be undone."""
        for item in self._handled[self._durable_count : handled_count]:
            self._note_durable(item)
        self._durable_count = max(self._durable_count, handled_count)
        for item in own:
            self._note_durable(item)

    def _note_durable(self, item: Settle) -> None:
        if item.is_leaving:
            item.copy.left_for_good = True
        else:
            item.copy.gone_for_good = True
