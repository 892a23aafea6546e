"""`recon.testing.fault_server` with a script for each path: answers given in turn, the last one for ever, or a function from the request to an answer."""

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from recon.testing import fault_server as base
from recon.testing.fault_server import Answer, Asked, page

__all__ = ["Answer", "Asked", "FaultServer", "fault_server", "gzipped", "page"]

Script = Callable[[Asked], Answer]


def gzipped(body: bytes, *, keep: int | None = None) -> Answer:
    """A gzip answer, cut to `keep` bytes of itself with an honest Content-Length, as a broken origin behind a proxy gives."""
    return Answer(headers={"Content-Encoding": "gzip"}, pieces=[gzip.compress(body)[:keep]])


class FaultServer(base.FaultServer):
    """Use as a context manager; `requests` lists what was asked, in order of arrival."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._scripted, tls=tls)
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()

    def on(self, path: str, *answers: Answer | Script) -> None:
        """Scripts a path (with `*` for every other path): a function, or answers in turn."""
        if len(answers) == 1 and callable(answers[0]):
            self._scripts[path] = answers[0]
            return
        left = list(answers)

        def in_turn(_: Asked) -> Answer:
            with self._lock:
                answer = left.pop(0) if len(left) > 1 else left[0]
            assert isinstance(answer, Answer)
            return answer

        self._scripts[path] = in_turn

    def _scripted(self, asked: Asked) -> Answer:
        script = self._scripts.get(asked.path) or self._scripts.get("*")
        return script(asked) if script else Answer(status=404)


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A fault server of this test's own."""
    with FaultServer() as server:
        yield server
