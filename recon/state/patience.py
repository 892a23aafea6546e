"""A connection to PostgreSQL that waits for no answer for ever."""

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")


class PatientConnection(psycopg.Connection[Any]):
    """Raises psycopg.OperationalError, and is closed, where the server's side says nothing for `patience` seconds while it is waited for.

    The system's own bounds (keepalives, tcp_user_timeout) see a host that vanished. They do not see a pooler or a balancer between
    us that lives, acknowledges every packet, and passes nothing on.
    """

    patience = 0.0

    def wait(self, gen: PQGen[T], *args: Any, **named: Any) -> T:
        return super().wait(self._bounded(gen), *args, **named)

    def _bounded(self, gen: PQGen[T]) -> PQGen[T]:
        until = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    until = now + self.patience
                elif now > until:
                    self.pgconn.finish()
                    msg = f"no answer for {self.patience:g} s; the connection was given up"
                    raise psycopg.OperationalError(msg)
                wanted = gen.send(ready)
        except StopIteration as end:
            # The generator's own way of giving its result; mypy knows no better than Any.
            result: T = end.value
            return result
