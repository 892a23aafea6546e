"""What the files that hold a publisher or a reader to its contract share."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from recon.publishers.base import Message, OutcomeKind
from recon.testing.publisher_suite import Skipped


def keep(check: Callable[[Any], None], bench: Any, *, cannot_show: Callable[[Any], None] | None) -> None:
    """The bench keeps to the check; the one that this destination cannot be made to show has to say so."""
    if check is cannot_show:
        with pytest.raises(Skipped):
            check(bench)
    else:
        check(bench)


class ServerReaderBench:
    """The part of a reader's bench that is the same over every server of one's own, which is killed and started; `publisher` is the bench's."""

    server: Any

    def publisher(self, **more: Any) -> Any:
        """One that sends to where the bench's reader reads."""
        raise NotImplementedError

    def put(self, batch: Sequence[Message]) -> None:
        sender = self.publisher()
        outcomes = sender.publish(batch, 10.0)
        sender.close()
        assert {outcome.kind for outcome in outcomes} <= {OutcomeKind.CONFIRMED}

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()
