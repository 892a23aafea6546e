"""What can be wrong with an answer. Each fault changes the answer that an honest third party would have given."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recon.testing.simulation.chance import Chance
from recon.testing.simulation.oracle.facts import UNREADABLE
from recon.testing.simulation.oracle.history import Values

if TYPE_CHECKING:
    from recon.testing.simulation.own import Own
    from recon.testing.simulation.world import Universe

Where = tuple[int, int]


@dataclass(slots=True)
class Answer:
    """An answer in the making. `shown` is what it says of which items, None where it says nothing; `lost` is why none arrived."""

    status: int = 200
    document: Any = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    shown: list[tuple[str, Values]] | None = None
    fault: str = ""
    lost: str = ""
    takes: float = 0.0

    @classmethod
    def page(cls, items: list[tuple[str, Values]], more: bool, marks: dict[str, Any], *, fault: str, own: "Own | None") -> "Answer":
        """A page of the listing."""
        rows = [own.record(key, state or {}) if own is not None else {"id": key, **(state or {})} for key, state in items]
        return cls(document={"data": rows, "has_more": more, "meta": dict(marks)}, shown=list(items), fault=fault)

    @classmethod
    def error(cls, status: int, words: str, *, fault: str = "", shown: list[tuple[str, Values]] | None = None) -> "Answer":
        """An error with a JSON body."""
        return cls(status=status, document={"error": {"message": words}}, fault=fault, shown=shown)

    def render(self) -> None:
        """Writes the body, where no fault wrote one."""
        if not self.body and self.document is not None:
            self.body = json.dumps(self.document, separators=(",", ":")).encode()

    def tag(self, known: str | None) -> bool:
        """Bears the ETag of its body, and is a 304 where that is `known`: whether it became one."""
        etag = f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'
        self.headers = {**self.headers, "etag": etag}
        if known != etag:
            return False
        self.status, self.document, self.body = 304, None, b""
        return True

    def says_the_end(self) -> bool:
        """Whether it is a page that says it is the last, be that true or not."""
        if self.lost or self.status != 200:
            return False
        try:
            page = json.loads(self.body)
        except ValueError:
            return False
        return isinstance(page, dict) and page.get("has_more") is False

    def fail(self, status: int, fault: str, **headers: str) -> None:
        """Becomes an error."""
        self.status, self.fault, self.shown, self.headers = status, fault, None, {k.replace("_", "-"): v for k, v in headers.items()}
        self.document, self.body = {"error": {"message": fault}}, b""

    def lose(self, why: str, takes: float = 0.0) -> None:
        """Never arrives."""
        self.lost, self.fault, self.shown, self.takes, self.status = why, why, None, takes, 0

    def say(self, body: bytes, fault: str) -> None:
        """Is 200 with another body."""
        # Without the document: an empty body is not to be written out of it after all.
        self.body, self.document, self.fault, self.shown = body, None, fault, None


def _status(status: int) -> Callable[..., None]:
    def fault(answer: Answer, *_: object) -> None:
        answer.fail(status, f"{status}")

    return fault


def _throttled(answer: Answer, chance: Chance, where: Where, _: object) -> None:
    answer.fail(429, "429", retry_after=str(chance.count(1, 40, "retry after", *where)))


def _busy(answer: Answer, chance: Chance, where: Where, _: object) -> None:
    answer.fail(503, "503", retry_after=str(chance.count(1, 20, "retry after", *where)))


def _cut(answer: Answer, *_: object) -> None:
    answer.lose("cut")


def _slow(answer: Answer, *_: object) -> None:
    answer.lose("no answer in time", 30.0)


def _login(answer: Answer, *_: object) -> None:
    answer.say(b"<!doctype html><html><title>Login</title><form></form></html>", "login page")


def _nothing(answer: Answer, *_: object) -> None:
    answer.say(b"", "empty body")


def _error_200(answer: Answer, *_: object) -> None:
    answer.say(b'{"error":{"code":"internal","message":"try later"}}', "error as 200")


def _torn(answer: Answer, *_: object) -> None:
    whole = json.dumps(answer.document).encode()
    answer.say(whole[: len(whole) * 2 // 3], "torn body")


def _same_page(answer: Answer, _chance: Chance, _where: Where, pages: list[bytes]) -> None:
    if pages:
        answer.say(pages[-1], "same page")


def _cursor_loop(answer: Answer, _chance: Chance, _where: Where, pages: list[bytes]) -> None:
    if pages and answer.document["meta"]["next"]:
        answer.document["meta"]["next"] = json.loads(pages[0])["meta"]["next"] if pages[0][:1] == b"{" and b'"meta"' in pages[0] else "1-0"
        answer.fault = "cursor loop"


def _lying_total(answer: Answer, chance: Chance, where: Where, _: object) -> None:
    meta = answer.document["meta"]
    more = chance.count(1, 9, "lie", *where)
    meta["total"], meta["pages"], answer.fault = meta["total"] + more, meta["pages"] + more, "lying total"


def _early_end(answer: Answer, *_: object) -> None:
    meta = answer.document["meta"]
    if answer.document["has_more"]:
        answer.document["has_more"], meta["next"], meta["pages"], meta["total"], answer.fault = False, None, 1, 0, "early end"


def _twice(answer: Answer, *_: object) -> None:
    if answer.shown:
        answer.document["data"].append(answer.document["data"][0])
        answer.shown.append(answer.shown[0])
        answer.fault = "item twice"


def _broken_item(answer: Answer, chance: Chance, where: Where, _: object) -> None:
    """One item that cannot be read: a value of the wrong shape, or a number that JSON does not have."""
    if not answer.shown:
        return
    index = chance.count(0, len(answer.shown) - 1, "which", *where)
    key = answer.shown[index][0]
    answer.shown[index] = (key, UNREADABLE)
    answer.fault = "broken item"
    if chance.between(0, 1, "how", *where) < 0.5:
        answer.document["data"][index]["amount"] = {"is": "lost"}
    else:
        answer.document["data"][index]["amount"] = float("nan")


def _wrong_item(answer: Answer, *_: object) -> None:
    if answer.status == 200:
        answer.document = {**answer.document, "id": "somebody-else"}
        answer.fault, answer.shown = "wrong item", None


LISTING_FAULTS: dict[str, Callable[..., None]] = {
    "500": _status(500),
    "502": _status(502),
    "503": _busy,
    "429": _throttled,
    "401": _status(401),
    "403": _status(403),
    "cut": _cut,
    "slow": _slow,
    "login page": _login,
    "empty body": _nothing,
    "error as 200": _error_200,
    "torn body": _torn,
    "same page": _same_page,
    "cursor loop": _cursor_loop,
    "lying total": _lying_total,
    "early end": _early_end,
    "item twice": _twice,
    "broken item": _broken_item,
}
"""What may strike a page."""

ITEM_FAULTS: dict[str, Callable[..., None]] = {
    "500": _status(500),
    "429": _throttled,
    "403": _status(403),
    "cut": _cut,
    "slow": _slow,
    "login page": _login,
    "empty body": _nothing,
    "torn body": _torn,
    "wrong item": _wrong_item,
}
"""What may strike a read by id."""


def _unreadable(answer: Answer, universe: "Universe", domain: str) -> None:
    for index, (key, _) in enumerate(answer.shown or ()):
        if key in universe.unreadable(domain):
            answer.document["data"][index] |= {"amount": "many", "status": ["?"]}
            assert answer.shown is not None
            answer.shown[index] = (key, UNREADABLE)
            answer.fault = "unreadable"


NIGHT_FAULTS: dict[str, Callable[[Answer, "Universe", str], None]] = {"unreadable": _unreadable}
"""What is so for a whole night and changes pages; other such states (wiped, wrong tenant, clamped, reads 404, forbidden) stand in the network."""
