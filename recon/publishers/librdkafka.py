"""librdkafka, the library under confluent-kafka: its settings as recon.toml gives them, and its errors as outcomes.

Settings: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md, errors:
https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h (both read 2026-11).
"""

import logging
from typing import TYPE_CHECKING, Any

from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.secure import way_out
from recon.secret import Secret, SecretRef
from recon.section import Section

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_PROMISE = "an event counts as delivered only when all in-sync replicas have it, once and in order; that is not to be weakened"
_ENDS = "every call has a deadline of its own, and says itself what became of what was not confirmed within it"
REFUSED = {
    **dict.fromkeys(("acks", "request.required.acks", "enable.idempotence", "enable.gapless.guarantee"), _PROMISE),
    **dict.fromkeys(("message.send.max.retries", "retries"), _PROMISE),
    **dict.fromkeys(("max.in.flight", "max.in.flight.requests.per.connection"), _PROMISE),
    **dict.fromkeys(("message.timeout.ms", "delivery.timeout.ms"), _ENDS),
    "transactional.id": "nothing here is a transaction: an event that is sent again keeps its id",
    "dr_msg_cb": "what the broker answers is read here",
    **dict.fromkeys(("delivery.report.only.error", "produce.offset.report"), "what the broker answers is read here"),
    "bootstrap.servers": "is the setting `brokers`",
    "metadata.broker.list": "is the setting `brokers`",
    "linger.ms": "is the setting `linger`",
    "queue.buffering.max.ms": "is the setting `linger`",
    "partitioner": "is the setting `partitioner`",
    "compression.type": "is the setting `compression`",
    "compression.codec": "is the setting `compression`",
    "message.max.bytes": "is the setting `max_bytes`",
    "batch.size": "follows the setting `max_bytes`",
    "sasl.username": "is the setting `user`",
    "sasl.password": "is the setting `password`",
    "sasl.mechanism": "is the setting `mechanism`",
    "sasl.mechanisms": "is the setting `mechanism`",
    "security.protocol": "follows `tls` and `user`",
    "ssl.ca.location": "is the setting `ca`",
    "enable.ssl.certificate.verification": "a broker's certificate is always verified",
    "ssl.endpoint.identification.algorithm": "a broker's name is always verified",
}
"""Keys of librdkafka that a table of options may not hold, and why."""


FILES = ("ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location", "sasl.kerberos.keytab")
"""Keys of librdkafka that name a file, which it would look for in whatever folder the process was started in."""


class Quiet:
    """Where librdkafka's own lines go: to our log, for who looks for them. What matters of them is in the outcomes' reasons."""

    _log = logging.getLogger("recon.publishers.librdkafka")

    def log(self, _level: int, text: str, *values: Any, **_: Any) -> None:
        """As logging.Logger has it."""
        self._log.debug(text, *values)


def brokers_of(section: Section) -> str:
    """`brokers`: `"a:9092,b:9092"`, or a list of such texts."""
    given = section.take("brokers")
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise section.bad("brokers", 'wants the brokers to begin with, such as "kafka-1:9092,kafka-2:9092"')
    return ",".join(text.strip() for text in texts)


def security_of(section: Section) -> dict[str, Any]:
    """`user`, `password`, `mechanism`, `tls` and `ca` as librdkafka's keys."""
    user = section.text_or_secret("user", None)
    password: Secret | None = section.secret("password", None)
    mechanism = section.choice("mechanism", MECHANISMS, "PLAIN")
    tls = section.flag("tls", user is not None)
    ca = section.text("ca", None)
    if (user is None) is not (password is None):
        raise section.bad("password" if password is None else "user", "is missing: `user` and `password` go together")
    if ca is not None and not tls:
        raise section.bad("ca", "is given, and tls is not on", hint="tls = true")
    if ca is not None and not (section.folder / ca).is_file():
        raise section.bad("ca", f"there is no file {ca}", hint="the authority's certificate in PEM, relative to recon.toml's folder")
    conf: dict[str, Any] = {"security.protocol": ("SASL_" if user is not None else "") + ("SSL" if tls else "PLAINTEXT")}
    if user is not None and password is not None:
        conf |= {"sasl.username": user, "sasl.password": password.reveal(), "sasl.mechanism": mechanism}
    if ca is not None:
        conf["ssl.ca.location"] = str(section.folder / ca)
    return conf


def options_of(section: Section) -> dict[str, Any]:
    """`options`: further keys of librdkafka, a secret among them by reference. Raises BadSetting for those that break a promise."""
    found: dict[str, Any] = {}
    for key, value in section.mapping("options", {}).items():
        if key in REFUSED:
            why = REFUSED[key]
            raise section.bad(f"options.{key}", why if why.startswith(("is the", "follows")) else f"cannot be set: {why}")
        if not isinstance(value, str | int | float | bool | SecretRef):
            raise section.bad(f"options.{key}", "wants a text, a number, true or false, or a secret by reference")
        found[key] = value.get().reveal() if isinstance(value, SecretRef) else value
        if key in FILES:
            file = section.folder / str(found[key])
            if not file.is_file():
                raise section.bad(f"options.{key}", f"there is no file {found[key]}", hint="relative to recon.toml's folder")
            found[key] = str(file)
    return found


def checked(section: Section, conf: dict[str, Any]) -> None:
    """Raises BadSetting for what librdkafka itself does not take. No connection is made: it is told of no broker."""
    from confluent_kafka import KafkaException, Producer

    try:
        Producer(conf, logger=Quiet())
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise section.bad("options", f"is not taken: {said}", hint="CONFIGURATION.md of librdkafka has every key") from None


def explained(fault: str, *, ca: str) -> str:
    """What librdkafka said of the way to the brokers, "" for nothing, in a line that ends with the way out."""
    words = "".join(c for c in fault[:300] if c.isprintable())
    if not words:
        return "no answer within the time; check that the brokers run, and tls: whoever speaks TLS says nothing to who does not"
    way = "check user, password and mechanism" if "SASL" in words else way_out(words, ca=ca)
    return f"{words}; {way}" if way else words


def outcome_of(error: "KafkaError", topic: str, size: int) -> Outcome:
    """What an error says of one event that was handed to the producer.

    A broker that answers with an error has not written the event, but for two of them: written by the leader, and not by enough
    replicas or not in time. What librdkafka says by itself (negative codes) of an event that was handed to it leaves open whether
    it arrived, but for a topic that is not there.
    """
    from confluent_kafka import KafkaError as K

    code, said = error.code(), error.str()
    if code == K.MSG_SIZE_TOO_LARGE:
        return too_large(topic, size)
    if code in {K.INVALID_RECORD, K.INVALID_TIMESTAMP}:
        return Outcome(kind=OutcomeKind.REJECTED, reason=f"{topic}: {said}")
    if code in {K._UNKNOWN_TOPIC, K.UNKNOWN_TOPIC_OR_PART, K._UNKNOWN_PARTITION}:  # noqa: SLF001 - the library's names of its own errors
        return missing(topic)
    if code in {K.TOPIC_AUTHORIZATION_FAILED, K.CLUSTER_AUTHORIZATION_FAILED}:
        why = f"{topic}: {said}. The user may not write there: allow WRITE and DESCRIBE on the topic (IdempotentWrite on the cluster before Kafka 2.8)"
        return Outcome(kind=OutcomeKind.RETRY, reason=why, after=60.0)
    if (code < 0 and code != K._INVALID_DIFFERENT_RECORD) or code in {K.REQUEST_TIMED_OUT, K.NOT_ENOUGH_REPLICAS_AFTER_APPEND}:  # noqa: SLF001 - as above
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"{topic}: sent, and not confirmed: {said}")
    return Outcome(kind=OutcomeKind.RETRY, reason=f"{topic}: not taken: {said}")


def missing(topic: str) -> Outcome:
    """The topic is not there: a fault of the destination, that somebody can mend."""
    why = f"there is no topic {topic}, and the broker makes none by itself: create it, or mend `topic` in recon.toml; then: recon publish"
    return Outcome(kind=OutcomeKind.RETRY, reason=why, after=60.0)


def too_large(topic: str, size: int, limit: int | None = None) -> Outcome:
    """Larger than the client (`limit`) or the broker takes."""
    most = (
        f"at most {limit:,} are taken with them (max_bytes)"
        if limit
        else "the broker takes fewer with them (its message.max.bytes, or the topic's max.message.bytes)"
    )
    return Outcome(kind=OutcomeKind.REJECTED, reason=f"{topic}: the event has {size:,} bytes beside its headers, and {most}")
