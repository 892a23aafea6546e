"""What a publisher and a reader say of a destination that does not let them in: looked at by the tests of each broker."""

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from recon import redact
from recon.consume.reader import Reader
from recon.errors import DeliveryError
from recon.publishers.base import OutcomeKind, Publisher
from recon.testing import publisher_suite


@contextmanager
def logged(level: int) -> Iterator[io.StringIO]:
    """What a command's log says, set up as a command does it; what was set up before is put back."""
    root, stream = logging.getLogger(), io.StringIO()
    before = list(root.handlers), root.level, sys.excepthook, threading.excepthook
    levels = {name: logging.getLogger(name).level for name in (*redact.NOISY, *redact.CLIENTS, *redact.TALKATIVE, "asyncio")}
    redact.install(level, stream)
    try:
        yield stream
    finally:
        root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[2], before[3]
        root.setLevel(before[1])
        for name, was in levels.items():
            logging.getLogger(name).setLevel(was)


def lets_in(sender: Publisher, reader: Callable[[], Reader] | None = None) -> None:
    """An event is confirmed, and comes out at the reader where there is one."""
    batch = publisher_suite.messages(1)
    (outcome,) = sender.publish(batch, 10.0)
    sender.close()
    assert outcome.kind is OutcomeKind.CONFIRMED, outcome.reason
    if reader is not None:
        made = reader()
        received = made.receive(1, 10.0)
        made.done(received)
        made.close()
        assert [one.body for one in received] == [batch[0].body]


def keeps_out(sender: Publisher, reader: Callable[[], Reader] | None, *says: str, secret: str = "", lasting: bool | None = True) -> None:
    """The event waits, for minutes where somebody has to mend something (`lasting`; None: either); outcome, health and reader each say what is wrong and what to do."""
    (outcome,) = sender.publish(publisher_suite.messages(1), 10.0)
    assert outcome.kind is OutcomeKind.RETRY
    assert lasting in {None, (outcome.after or 0) >= 60}, outcome
    told = [outcome.reason]
    with pytest.raises(DeliveryError) as failure:
        sender.health()
    sender.close()
    told.append(f"{failure.value} {failure.value.hint}")
    if reader is not None:
        made = reader()
        with pytest.raises(DeliveryError) as failure:
            made.receive(1, 1.0)
        made.close()
        told.append(f"{failure.value} {failure.value.hint}")
    for one in told:
        assert all(word in one for word in says), one
        assert not secret or secret not in one
