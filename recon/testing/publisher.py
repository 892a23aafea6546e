"""A publisher that keeps what it is given."""

from collections.abc import Callable, Iterable, Sequence

from recon.event import Event, decode
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind

CONFIRMED = Outcome(kind=OutcomeKind.CONFIRMED)


class RecordingPublisher:
    """Keeps every message in `messages`; `events` decodes them.

    Answers CONFIRMED, unless `outcomes` has some left (taken one per message, in order) or `decide` is given, which is asked about each message.
    """

    def __init__(
        self,
        outcomes: Iterable[Outcome] = (),
        *,
        decide: Callable[[Message], Outcome] | None = None,
        name: str = "recording",
        batch: int = 100,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(batch=batch)
        self.messages: list[Message] = []
        self.closed = False
        self._outcomes = list(outcomes)
        self._decide = decide

    @property
    def events(self) -> list[Event]:
        """The messages as events."""
        return [decode(message.body) for message in self.messages]

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:  # noqa: ARG002 - the protocol's signature
        self.messages += batch
        return [self._answer(message) for message in batch]

    def _answer(self, message: Message) -> Outcome:
        if self._decide is not None:
            return self._decide(message)
        return self._outcomes.pop(0) if self._outcomes else CONFIRMED

    def health(self) -> str:
        return "keeps events in memory"

    def close(self) -> None:
        self.closed = True
