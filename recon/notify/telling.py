"""One notice, posted once: taken in the state database, sent, and written down as told."""

from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec

from recon.errors import ReconError
from recon.notify.notice import Notice
from recon.notify.notices import Notices, Told
from recon.project import Project
from recon.redact import redact
from recon.secret import Secret, SecretRef
from recon.state.database import State

POST_SECONDS = 5.0
NO_URL = "[notify] url is no http or https URL"


def tell(project: Project, state: State, notice: Notice, *, again: float | None = None) -> str | None:
    """Tells the notice, unless its kind and subject were told before (or less than `again` seconds ago); answers why it could not, or None.

    Nothing happens without `[notify] url`. Whoever calls it again while what it says is still so has it told as soon as the receiver
    is back: a post that failed is due again after five minutes. Never raises for the receiver or the state database.
    """
    if project.settings.notify.url is None:
        return None
    notices = Notices(state)
    try:
        notices.open(notice.kind, notice.subject, notice.domain)
        taken = notices.take(notice.kind, notice.subject)
        if taken is None:
            return None
        why = post(project, notice, taken)
        if why is not None:
            notices.failed(taken)
            return why
        notices.told(taken, None if again is None else state.now() + timedelta(seconds=again))
    except ReconError as error:
        return f"notify: {notice.domain}: {redact(error.message)}"
    return None


def post(project: Project, notice: Notice, taken: Told) -> str | None:
    """Posts the document; None where the receiver took it, else why not, in words without the address."""
    try:
        url = _address(project)
        body = msgspec.json.encode(notice.document(project.settings.name, taken.count))
        why = _post(url, body)
    except ReconError as error:
        why = redact(error.message)
    return None if why is None else f"notify: {notice.domain} {notice.kind} could not be told: {why}; it is tried again"


def unusable(project: Project) -> str | None:
    """Why nobody could be told at `[notify] url` as it stands, in words; None where it could be used. Nothing is posted."""
    try:
        return None if _usable(_address(project)) else NO_URL
    except ReconError as error:
        return redact(error.message)


def _address(project: Project) -> str:
    url = project.settings.notify.url
    # Such an address is a capability, also where it stands in the file in plain: known as a secret, it is masked everywhere.
    return url.get().reveal() if isinstance(url, SecretRef) else Secret(url or "", project.settings.file.name).reveal()


def _usable(url: str) -> bool:
    try:
        return urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname)
    except ValueError:
        return False


def _post(url: str, body: bytes) -> str | None:
    from recon.publishers.post import Poster  # httpx is heavy, and most commands tell nobody anything.

    if not _usable(url):
        return NO_URL
    try:
        with closing(Poster(url, {"content-type": "application/json"})) as poster:
            answer = poster.post(body, {}, POST_SECONDS)
    except Exception as error:  # noqa: BLE001 - a URL that the library cannot read, whatever it raises, must not end a night
        return f"[notify] url cannot be used ({type(error).__name__})"
    if answer.status is None:
        return redact(answer.failure)
    return None if 200 <= answer.status < 300 else f"the receiver answered {answer.status}"
