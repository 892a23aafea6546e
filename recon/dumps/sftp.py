"""An SFTP server, by paramiko. Its host key is known before anything is said to it; a file is read on from where the line broke."""

import fnmatch
import io
import logging
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recon.clock import Clock, SystemClock
from recon.dumps.pin import SMALL, Pin
from recon.duration import words_of
from recon.errors import CursorExpired, MissingSecret, Refused, Unreachable
from recon.fetch.listing import Meter
from recon.secret import Secret, SecretRef
from recon.section import Section

if TYPE_CHECKING:
    import paramiko

BLOCK = 512 * 1024
TRIES = 5
AHEAD = 255 * 1024
"""Bytes that one request asks for: the most that OpenSSH gives at once; a server may give less, and is asked for the rest.

paramiko asks for 32 KiB a turn, and its reading ahead is a thread that dies aloud when the line breaks.
"""
T = TypeVar("T")
Given = Secret | SecretRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to reach the server. Exactly one of `known_hosts` (a file) and `fingerprint` (`SHA256:…`) says which key it must show."""

    host: str
    port: int = 22
    user: str
    password: Given = None
    key: Given = None
    passphrase: Given = None
    known_hosts: Path | None = None
    fingerprint: str | None = None
    timeout: float = 30.0


class Sftp:
    """Implements `Place`."""

    local = False
    lists = True

    def __init__(self, login: Login, folder: str, counts: Meter) -> None:
        self.words = f"sftp://{login.host}:{login.port}/{folder.lstrip('/')}"
        self.credential = login.user
        self._login = login
        self._folder = folder.rstrip("/") or "/"
        self._counts = counts

    def names(self, pattern: str) -> list[str]:
        folder, _, last = pattern.rpartition("/")

        def listed(server: "paramiko.SFTPClient") -> list[str]:
            entries = server.listdir_attr(self._path(folder))
            fit = [e.filename for e in entries if stat.S_ISREG(e.st_mode or stat.S_IFREG) and fnmatch.fnmatchcase(e.filename, last)]
            return sorted(f"{folder}/{name}" if folder else name for name in fit)

        return self._asked(listed, f"the list of {self.words}", absent=[])

    def look(self, names: Sequence[str]) -> list[Pin]:
        def looked(server: "paramiko.SFTPClient") -> list[Pin]:
            found = []
            for name in names:
                try:
                    found.append(_pin(server.stat(self._path(name))))
                except FileNotFoundError:
                    found.append(Pin())
            return found

        return self._asked(looked, self.words, absent=[])

    def blocks(self, name: str, pin: Pin, at: int, clock: Clock) -> Iterator[bytes]:
        """Five tries in a row that bring less than a block end it."""
        what, fruitless = f"{self.words}/{name}", 0
        while True:
            came = 0
            try:
                for block in self._read(name, pin, at):
                    at += len(block)
                    came += len(block)
                    yield block
            except Unreachable as error:
                fruitless = 0 if came >= BLOCK else fruitless + 1
                if fruitless >= TRIES:
                    msg = f"{error.message}; {at:,} bytes had come, {TRIES} tries in a row brought less than {BLOCK:,}"
                    raise Unreachable(msg, hint=error.hint) from None
                self._counts.retries += 1
                clock.sleep(0.2 * 2.0**fruitless)
            else:
                if pin.size is not None and at != pin.size:
                    msg = f"{what}: the file was replaced while it was read: {at:,} bytes came of {pin.size:,}"
                    raise CursorExpired(msg)
                return

    def small(self, name: str) -> bytes | None:
        (pin,) = self.look([name])
        return None if pin.size is None else b"".join(self.blocks(name, pin, 0, SystemClock()))[:SMALL] if pin.size <= SMALL else b""

    def close(self) -> None:
        """No connection outlives what it was made for."""

    # -- one connection ----------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}".rstrip("/") or "/"

    def _asked(self, ask: Callable[["paramiko.SFTPClient"], T], what: str, *, absent: T) -> T:
        for left in range(TRIES - 1, -1, -1):
            try:
                with self._server(what) as (server, _):
                    try:
                        return ask(server)
                    except FileNotFoundError:
                        return absent
            except Unreachable:
                if not left:
                    raise
                self._counts.retries += 1
                SystemClock().sleep(0.2 * (TRIES - left))
        raise AssertionError

    def _read(self, name: str, pin: Pin, at: int) -> Iterator[bytes]:
        what = f"{self.words}/{name}"
        with self._server(what) as (server, watch):
            try:
                file = server.open(self._path(name), "rb")
            except FileNotFoundError:
                msg = f"{what}: the file is not there any more"
                raise CursorExpired(msg) from None
            with watch, file:
                self._hold(file, pin, what)
                file.seek(at)
                file.MAX_REQUEST_SIZE = AHEAD
                while block := file.read(BLOCK):
                    watch.again()
                    self._counts.bytes += len(block)
                    yield block
                    watch.again()
                self._hold(file, pin, what)

    def _hold(self, file: Any, pin: Pin, what: str) -> None:
        now = _pin(file.stat())
        if (now.size, now.changed) != (pin.size, pin.changed):
            msg = f"{what}: the file was replaced while it was read: it was {pin.words()}; it is {now.words()}"
            raise CursorExpired(msg)

    @contextmanager
    def _server(self, what: str) -> Iterator[tuple["paramiko.SFTPClient", "_Watch"]]:
        """A connection of its own. What paramiko raises leaves as Refused or Unreachable."""
        try:
            import paramiko
        except ModuleNotFoundError:
            msg = f"{what}: reading from an SFTP server needs paramiko, which is not installed"
            raise Refused(msg, hint="pip install 'nightly-recon[sftp]'") from None
        # It logs what is told here anyhow, as errors and with tracebacks.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        login, ssh = self._login, paramiko.SSHClient()
        watch = _Watch(login.timeout, ssh.close)
        try:
            self._connect(ssh, what)
            self._counts.requests += 1
            server = ssh.open_sftp()
            server.get_channel().settimeout(login.timeout)
            yield server, watch
        except (FileNotFoundError, Refused, CursorExpired, MissingSecret):
            raise
        except paramiko.AuthenticationException:
            hint = "check user, and password or key, in the provider's table of recon.toml"
            raise Refused(f"{what}: the server does not take the credential of {login.user}", hint=hint) from None
        except PermissionError:
            raise Refused(f"{what}: {login.user} may not read it") from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            late = f"no answer within {words_of(login.timeout)}" if watch.struck or isinstance(error, TimeoutError) else ""
            said = late or " ".join(str(error).split())[:160] or type(error).__name__
            raise Unreachable(f"{what}: the connection broke: {said}") from None
        finally:
            watch.end()
            ssh.close()

    def _connect(self, ssh: "paramiko.SSHClient", what: str) -> None:
        import paramiko

        login = self._login

        class Pinned:
            """Takes the one key whose fingerprint was declared, and no other."""

            def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
                del client, hostname
                if login.fingerprint is None or key.fingerprint != login.fingerprint:
                    raise _strange(login, key.fingerprint, what)

        if login.known_hosts is not None:
            try:
                ssh.load_host_keys(str(login.known_hosts))
            except OSError as error:
                msg = f"{what}: known_hosts {login.known_hosts}: {error.strerror}"
                raise Refused(msg) from None
        ssh.set_missing_host_key_policy(Pinned())
        try:
            ssh.connect(
                login.host,
                login.port,
                login.user,
                password=_text(login.password),
                pkey=_key(login, what),
                allow_agent=False,
                look_for_keys=False,
                timeout=login.timeout,
                banner_timeout=login.timeout,
                auth_timeout=login.timeout,
                channel_timeout=login.timeout,
            )
        except paramiko.BadHostKeyException as error:
            raise _strange(login, error.key.fingerprint, what) from None


class _Watch:
    """Ends the connection where a block takes longer than the limit, however little comes now and then."""

    def __init__(self, seconds: float, strike: Callable[[], None]) -> None:
        self.struck = False
        self._seconds = seconds
        self._strike = strike
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        self.again()

    def __exit__(self, *_: object) -> None:
        self.end()

    def again(self) -> None:
        """A block has come, or was taken: the time begins anew."""
        self.end()
        self._timer = threading.Timer(self._seconds, self._out)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _out(self) -> None:
        self.struck = True
        with suppress(Exception):
            self._strike()


def _strange(login: Login, shown: str, what: str) -> Refused:
    wanted = "fingerprint" if login.fingerprint is not None else f"known_hosts {login.known_hosts}"
    msg = f"{what}: the server shows the host key {shown}, which is not the one of {wanted}; nothing was said to it"
    return Refused(msg, hint=f'ask its operator by another way; if it is theirs: fingerprint = "{shown}"')


def _pin(about: Any) -> Pin:
    changed = datetime.fromtimestamp(about.st_mtime, UTC).isoformat() if about.st_mtime is not None else ""
    return Pin(size=about.st_size, changed=changed)


def _text(given: Given) -> str | None:
    return None if given is None else (given.get() if isinstance(given, SecretRef) else given).reveal()


def _key(login: Login, what: str) -> "paramiko.PKey | None":
    import paramiko

    text = _text(login.key)
    if text is None:
        return None
    kinds: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for kind in kinds:
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text + "\n"), password=_text(login.passphrase))
    msg = f"{what}: key is no private key that can be read: Ed25519, ECDSA or RSA, with passphrase where it has one"
    raise Refused(msg)


def sftp_of(section: Section, counts: Meter) -> Sftp:
    """The server of a provider's table: `host`, `port`, `user`, `password` or `key` (with `passphrase`), `known_hosts` or `fingerprint`, `folder`."""
    given: dict[str, Given] = {}
    for name in ("password", "key", "passphrase"):
        one = section.take(name, None)
        if one is not None and not isinstance(one, Secret | SecretRef):
            raise section.bad(name, "a secret is given by reference only", hint=f'write {name} = {{ env = "NAME" }} or {{ file = "path" }}')
        given[name] = one
    if (given["password"] is None) == (given["key"] is None):
        raise section.bad("password", "exactly one of password and key is wanted")
    known, fingerprint = section.text("known_hosts", None), section.text("fingerprint", None)
    if (known is None) == (fingerprint is None):
        hint = 'fingerprint = "SHA256:…" as the operator tells it, or known_hosts = "known_hosts"'
        raise section.bad("fingerprint", "exactly one of fingerprint and known_hosts says which server this must be", hint=hint)
    if fingerprint is not None and not fingerprint.startswith("SHA256:"):
        raise section.bad("fingerprint", f"is {fingerprint[:20]!r}, SHA256:… is wanted", hint="ssh-keygen -lf shows it")
    login = Login(
        host=section.text("host"),
        port=section.integer("port", 22, low=1),
        user=section.text("user"),
        password=given["password"],
        key=given["key"],
        passphrase=given["passphrase"],
        known_hosts=section.folder / known if known is not None else None,
        fingerprint=fingerprint.rstrip("=") if fingerprint is not None else None,
        timeout=section.duration("timeout", 30.0),
    )
    return Sftp(login, section.text("folder", "."), counts)
