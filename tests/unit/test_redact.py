"""Canary secrets through every door that text leaves by."""

import base64
import io
import json
import logging
import random
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from recon import redact as redacting
from recon.redact import install, redact
from recon.secret import MASK, Secret, SecretRef

RANDOM = random.Random(20261123)
CANARY = "kanari/+=&'\"é sk_live_" + "".join(RANDOM.choices(string.ascii_letters, k=12))
DSN = "postgresql+psycopg://app:p%40ss-w0rd-canary@db.example:5432/shop"


@pytest.fixture(autouse=True)
def known() -> None:
    """The canaries are resolved, as a run would have them."""
    Secret(CANARY)
    Secret(DSN)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """A stream that recon's logging writes to; what was set up before is put back."""
    root = logging.getLogger()
    before, level, hooks = list(root.handlers), root.level, (redacting.sys.excepthook, redacting.threading.excepthook)
    stream = io.StringIO()
    install(logging.DEBUG, stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    redacting.sys.excepthook, redacting.threading.excepthook = hooks


def fail(text: str, *, kind: type[Exception] = ValueError, cause: Exception | None = None) -> None:
    """Raises, as code in the depths would."""
    raise kind(text) from cause


def absent(text: str) -> None:
    """No trace of a canary in any form that decodes back to it."""
    assert "sk_live_" not in text
    assert "w0rd-canary" not in text
    for shift in range(3):
        for word in text.replace("-", "+").replace("_", "/").split():
            for cut in range(4):
                padded = word[cut:] + "=" * (-len(word[cut:]) % 4)
                try:
                    assert b"sk_live" not in base64.b64decode(padded), (word, shift)
                except ValueError:
                    continue


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        quote(CANARY),
        quote(CANARY, safe=""),
        quote_plus(CANARY),
        quote(quote(CANARY, safe=""), safe=""),
        json.dumps({"key": CANARY}),
        repr({"key": CANARY}),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"{CANARY}:".encode()).decode(),
        base64.b64encode(f"u:{CANARY}".encode()).decode(),
        base64.b64encode(f"us:{CANARY}x".encode()).decode(),
        DSN,
        "password authentication failed: p@ss-w0rd-canary",
        "postgresql://other:p%40ss-w0rd-canary@db/x",
    ],
)
def test_every_form_is_masked(form: str) -> None:
    """A secret is masked as it is, URL-encoded once or twice, in JSON, in a repr, and in base64 at each alignment."""
    masked = redact(f"Authorization: Basic {form} tail")

    absent(masked)
    assert MASK in masked
    assert masked.startswith("Authorization: Basic ")
    assert masked.endswith(" tail")


def test_a_url_password_nobody_resolved_is_masked_too() -> None:
    """A database URL written out in recon.toml never went through a reference; its password is masked all the same."""
    masked = redact("could not connect to mysql://root:hunter2@db:3306/x?y=1, retrying")

    assert masked == f"could not connect to mysql://root:{MASK}@db:3306/x?y=1, retrying"


def test_a_text_without_secrets_is_untouched() -> None:
    """Ordinary messages, URLs with ports and mail addresses come through as they are."""
    text = "GET https://api.example:8443/v1?x=1 -> 503; mail ops@example.com at 03:00"

    assert redact(text) == text


def test_short_secrets_do_not_blot_out_the_text() -> None:
    """A three-letter secret is not masked, since it would hide the message and protect nothing."""
    Secret("the")

    assert redact("the store") == "the store"


def test_log_lines_carry_no_secret(logged: io.StringIO) -> None:
    """Message, arguments, exception, chained causes and stack of a log record are all masked."""
    log = logging.getLogger("recon.test")
    log.warning("message %s", CANARY)
    log.warning("arguments %s %r", {"token": CANARY}, DSN)
    try:
        try:
            fail(f"inner {CANARY}")
        except ValueError as error:
            fail(f"outer {DSN}", kind=RuntimeError, cause=error)
    except RuntimeError:
        log.exception("failed with %s", CANARY, stack_info=True)

    text = logged.getvalue()
    absent(text)
    assert "Traceback" in text
    assert "direct cause" in text
    assert text.count(MASK) >= 5


def test_a_record_is_final_for_handlers_behind_ours(logged: io.StringIO) -> None:
    """The filter leaves nothing raw in the record itself, so that a handler of another library finds nothing either."""
    records: list[logging.LogRecord] = []

    class Later(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    later = Later()
    logging.getLogger().addHandler(later)
    try:
        fail(CANARY)
    except ValueError:
        logging.getLogger("recon.test").exception("x %s", CANARY)
    logging.getLogger().removeHandler(later)

    absent(" ".join(str(value) for value in vars(records[0]).values()))


def test_wrong_arguments_do_not_break_logging(logged: io.StringIO) -> None:
    """A log call whose arguments do not fit its format still gives a masked line."""
    logging.getLogger("recon.test").warning("%d items", CANARY)

    absent(logged.getvalue())
    assert "items" in logged.getvalue()


def test_an_uncaught_error_is_masked(logged: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    """The interpreter's own last words go through the redactor."""
    try:
        fail(f"token {CANARY}", kind=RuntimeError)
    except RuntimeError as error:
        redacting.sys.excepthook(type(error), error, error.__traceback__)

    err = capsys.readouterr().err
    absent(err)
    assert "RuntimeError" in err


def test_a_resolved_reference_is_known(tmp_path: Path) -> None:
    """Resolving a reference is what makes the redactor know a secret; nobody has to remember to tell it."""
    (tmp_path / "key").write_text("file-canary-8823\n")

    SecretRef({"file": "key"}, where="t", folder=tmp_path).get()

    assert "8823" not in redact("sent file-canary-8823")


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO, logging.DEBUG])
def test_a_brokers_client_speaks_when_asked_and_never_of_what_it_carries(logged: io.StringIO, level: int) -> None:
    """Its errors and their tracebacks are for `-vv`; what it logs below that, which is messages and their bodies, is for nobody."""
    install(level, logged)
    for name in ("aiormq.connection", "aio_pika.exchange"):
        logging.getLogger(name).error("the connection was reset")
        logging.getLogger(name).debug("publishing anna@example.com")

    assert ("the connection was reset" in logged.getvalue()) is (level == logging.DEBUG)
    assert "anna" not in logged.getvalue()
