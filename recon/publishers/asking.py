"""The way to Kafka's brokers: what librdkafka says of it between the lines, and questions that are not waited for in vain."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from recon.publishers.librdkafka import Quiet

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

GONE_SECONDS = 1.0
"""With every broker gone for so long, nobody waits for them any longer: what was not sent waits in the outbox."""

PRODUCER_ONLY = {"partitioner", "compression.type", "linger.ms", "batch.size", "enable.idempotence", "message.timeout.ms"}


class Way:
    """What is known of the way to the brokers. `wrong` is librdkafka's error_cb."""

    def __init__(self) -> None:
        #: When a broker was last heard of; 0 before the first time.
        self.heard = 0.0
        #: What was last said to be wrong, most telling first.
        self.fault = ""
        #: An error after which the client does nothing more.
        self.fatal = False
        #: A login or a certificate was not taken: somebody has to mend it.
        self.refused = False
        self._gone: float | None = None

    def wrong(self, error: "KafkaError") -> None:
        """Notes an error that is not of one event."""
        from confluent_kafka import KafkaError as K

        self.fatal = self.fatal or error.fatal()
        if error.code() == K._ALL_BROKERS_DOWN:  # noqa: SLF001 - the library's name of an error of its own
            self._gone = self._gone or time.monotonic()
        elif not self.refused:
            self.fault = error.str()
        self.refused = self.refused or error.code() in {K._AUTHENTICATION, K.SASL_AUTHENTICATION_FAILED, K._SSL}  # noqa: SLF001 - as above

    def well(self) -> None:
        """Notes that a broker answered."""
        self.heard, self._gone, self.fault = time.monotonic(), None, ""

    @property
    def lost(self) -> bool:
        """Whether waiting makes no sense: a refused login, or no broker for a while."""
        return self.refused or (self._gone is not None and time.monotonic() - self._gone > GONE_SECONDS)


class Asking:
    """A client that asks and sends nothing."""

    def __init__(self, conf: dict[str, Any]) -> None:
        from confluent_kafka.admin import AdminClient

        self._way = Way()
        mine: dict[str, Any] = {key: value for key, value in conf.items() if key not in PRODUCER_ONLY}
        self._admin = AdminClient(mine | {"error_cb": self._way.wrong}, logger=Quiet())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._admin

    @property
    def fault(self) -> str:
        """What is wrong with the way, "" where nothing is known."""
        return self._way.fault

    def answer(self, ask: "Callable[[AdminClient], Future[Any]]") -> Any:
        """What the brokers answer. Raises KafkaException; soon, where a login is refused or no broker is there."""
        from confluent_kafka import KafkaError, KafkaException

        future = ask(self._admin)
        while not future.done() and not self._way.lost:
            self._admin.poll(0.05)
        if not future.done():
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))  # noqa: SLF001 - the library's name of an error of its own
        return future.result()
