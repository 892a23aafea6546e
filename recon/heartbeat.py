"""Heartbeat pings: each run says that it began, ended or failed, to a URL of the user's own, so that silence is noticed by somebody else.

The convention is that of healthchecks.io (https://healthchecks.io/docs/http_api/): a POST to `URL/start`, then to `URL` at a good
end or to `URL/fail`, with a line of plain text as its body. A ping never harms the run: what goes wrong with it is said once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from recon.clock import Clock
from recon.errors import ReconError
from recon.redact import redact
from recon.report.figures import RunFigures
from recon.report.words import doubts
from recon.secret import Secret, SecretRef
from recon.settings import Settings

SECONDS = 5.0
"""How long one try may take. The start has one, so that a receiver that is down delays a night by no more than this."""

TRIES = 3
PAUSE_SECONDS = 1.0


class Heartbeat:
    """The pings of one run. `start`, then `ended` or `failed`; without a URL nothing happens."""

    def __init__(self, url: str | None, domain: str, *, clock: Clock, say: Callable[[str], None]) -> None:
        self._url = url
        self._domain = domain
        self._clock = clock
        self._say = say
        self._told = False

    @classmethod
    def of(cls, settings: Settings, domain: str, *, clock: Clock, say: Callable[[str], None]) -> "Heartbeat":
        """That of a domain: `heartbeat` of its own table, else `[heartbeat] url`. A reference that leads nowhere is said, and raises nothing."""
        section = settings.jobs.get(domain)
        own = section.table.get("heartbeat") if section is not None else None
        # One of another kind breaks the domain, and its failure still has somewhere to go.
        given = own if isinstance(own, str | SecretRef) else settings.heartbeat.url
        try:
            text = given.get().reveal() if isinstance(given, SecretRef) else given
        except ReconError as error:
            say(f"no heartbeat is sent: {error.message}")
            return cls(None, domain, clock=clock, say=say)
        url = text.replace("{domain}", domain) if text else None
        if url is not None and not _serves(url):
            say("no heartbeat is sent: its URL wants https:// or http://, and a host")
            url = None
        if url is not None:
            # Whoever has the URL can ping in our name, so it is masked like any other secret.
            Secret(url, "heartbeat url")
        return cls(url, domain, clock=clock, say=say)

    @property
    def silent(self) -> bool:
        """Whether it pings nothing: no URL is given, or none that can be used."""
        return self._url is None

    def start(self) -> None:
        """The run has its domain and begins."""
        self._ping("start", f"{self._domain}: begun", tries=1)

    def ended(self, figures: RunFigures) -> None:
        """The run is over: good is exit code 0, as the convention has it; everything else wants somebody to look."""
        self._ping("" if figures.exit_code == 0 else "fail", words_of_run(figures), tries=TRIES)

    def failed(self, why: str) -> None:
        """The run ended in a way that has no figures."""
        self._ping("fail", f"{self._domain}: failed: {redact(why)}", tries=TRIES)

    def _ping(self, suffix: str, words: str, *, tries: int) -> None:
        if self._url is None:
            return
        from recon.publishers.post import Poster

        poster = Poster(below(self._url, suffix), {"content-type": "text/plain; charset=utf-8"})
        problem = ""
        try:
            for attempt in range(tries):
                if attempt:
                    self._clock.sleep(PAUSE_SECONDS * attempt)
                answer = poster.post(redact(words).encode(), {}, SECONDS)
                if answer.status is not None and 200 <= answer.status < 300:
                    return
                problem = answer.failure or f"answered {answer.status}"
                if answer.status is not None and answer.status < 500 and answer.status != 429:
                    break
        finally:
            poster.close()
        if not self._told:
            self._told = True
            self._say(f"the heartbeat at {urlsplit(self._url).hostname} was not taken: {problem}; the run itself is not touched by it")


@contextmanager
def beating(beat: Heartbeat) -> Iterator[Heartbeat]:
    """Around a run: whatever ends it without figures, a fault of a plug-in say, is pinged as a failure. A signal is not: the run goes on later."""
    try:
        yield beat
    except Exception as error:
        beat.failed(type(error).__name__)
        raise


def words_of_run(figures: RunFigures) -> str:
    """One line: verdict, figures, exit code, run; what went wrong, where something did. No value of any record."""
    found = f"{figures.discrepancies:,} discrepancies" if figures.discrepancies != 1 else "1 discrepancy"
    parts = [f"{figures.domain}: {figures.verdict}", f"{figures.compared:,} compared", found]
    # Good by its exit code and not clean: the line must say why, or it reads as a quiet night.
    parts += [f"not proven clean: {', '.join(doubts(figures))}"] if not figures.discrepancies and doubts(figures) else []
    parts.append(f"exit {figures.exit_code}")
    parts.append(f"run {figures.run}" if figures.run else "no run")
    if figures.problem is not None:
        parts.append(f"{figures.problem.kind}: {figures.problem.message}")
    return redact(", ".join(parts))


def below(url: str, suffix: str) -> str:
    """The URL with one more part on its path; a query such as `?create=1` stays at the end."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{suffix}" if suffix else parts.path
    return urlunsplit(parts._replace(path=path, fragment=""))


def _serves(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"https", "http"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
