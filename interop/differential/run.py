"""Running a program against one broker, step by step, to a transcript."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interop.differential.client import Endpoint, NoAnswer
from interop.differential.generate.themes import HASH
from interop.differential.probe import Prober
from interop.differential.rest import settle_down
from interop.differential.session import Session
from interop.differential.transcript import Renderer

if TYPE_CHECKING:
    from interop.differential.program import Program, Step


@dataclass
class Transcript:
    """The lines of each step; what a broker failed to answer is a line too."""

    steps: list[list[str]] = field(default_factory=list)


class Runner:
    """Runs programs one after the other against one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.prober = Prober(endpoint)

    def run(self, program: Program, prefix: str) -> Transcript:
        """Return what a client saw; raises OSError if the broker is not there at all."""
        session = Session(self.endpoint, prefix)
        renderer = Renderer(session, is_summed=program.label == HASH)
        transcript = Transcript()
        made: set[str] = set()
        self.prober.forget_names()
        try:
            for step in program.steps:
                lines = self._step(session, renderer, step)
                made |= self._made(session)
                transcript.steps.append(lines)
        except NoAnswer as trouble:
            made |= self._made(session)
            lines = renderer.step_lines({})
            transcript.steps.append([*lines, f"no answer {trouble}".strip()])
        finally:
            session.close()
            self._clean_up(session, made)
        return transcript

    def _step(self, session: Session, renderer: Renderer, step: Step) -> list[str]:
        session.perform(step)
        state = settle_down(session, self.prober, step)
        return renderer.step_lines(state, is_burst=len(step.ops) > 1)

    @staticmethod
    def _made(session: Session) -> set[str]:
        names = {f"queue {name}" for name in session.queues | set(session.seen["queue"])}
        return names | {f"exchange {name}" for name in session.exchanges}

    def _clean_up(self, session: Session, made: set[str]) -> None:
        try:
            self.prober.clean_up(session, made)
        except NoAnswer:
            if self.prober.control is not None:
                self.prober.control.wire.drop()
