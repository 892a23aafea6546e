"""Secrets: by reference, masked wherever they are shown, and known to the redactor so that no log line carries one."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from recon.errors import MissingSecret

MASK = "••••"
COMMAND_SECONDS = 30

_seen: set[str] = set()


def seen() -> frozenset[str]:
    """Every secret's text that this process has held: what `recon.redact` masks in logs and messages."""
    return frozenset(_seen)


class Secret:
    """A value that is never shown: `repr`, `str` and formatting give a mask; `reveal` gives the text.

    `origin` says where it came from (`env SHOP_TOKEN`), for messages and `recon config show`.
    """

    __slots__ = ("_text", "origin")

    def __init__(self, text: str, origin: str = "given") -> None:
        self._text = text
        self.origin = origin
        _seen.add(text)

    def reveal(self) -> str:
        """The secret itself: to be called where it is sent, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK}, {self.origin})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        msg = "a secret is not pickled"
        raise TypeError(msg)


def resolve(reference: Mapping[str, str], *, where: str, folder: Path, environ: Mapping[str, str] | None = None) -> Secret:
    """The secret behind `{env = "NAME"}`, `{file = "path"}` or `{command = "words"}`.

    `where` is the setting's file and key, for the message; a relative file is read from `folder`.
    A final line end is dropped. Raises MissingSecret where the reference leads nowhere or to nothing.
    """
    environ = os.environ if environ is None else environ
    forms = {"env", "file", "command"} & reference.keys()
    if len(forms) != 1 or len(reference) != 1:
        msg = f'{where}: a secret is written {{ env = "NAME" }}, {{ file = "path" }} or {{ command = "words" }}'
        raise MissingSecret(msg)
    form = forms.pop()
    target = reference[form]
    if form == "env":
        text = environ.get(target, "")
        if not text:
            msg = f"{where}: the environment variable {target} is not set"
            raise MissingSecret(msg, hint=f"export {target}=… or add it to .env beside recon.toml")
        return Secret(text, f"env {target}")
    if form == "file":
        path = folder / target
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{where}: secret file {path}: {error.__class__.__name__}"
            raise MissingSecret(msg, hint="the file must exist and be readable by the user that runs recon") from None
        return _filled(text, where, f"file {target}")
    try:
        # The words are split as a shell would and run without one, so nothing in them is expanded.
        done = subprocess.run(shlex.split(target), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True, cwd=folder)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        msg = f"{where}: secret command {shlex.split(target)[:1]} failed: {error.__class__.__name__}"
        raise MissingSecret(msg, hint="run the command by hand; it must print the secret and exit 0") from None
    return _filled(done.stdout.rstrip("\r\n"), where, "command")


def _filled(text: str, where: str, origin: str) -> Secret:
    if not text:
        msg = f"{where}: the secret from {origin} is empty"
        raise MissingSecret(msg)
    return Secret(text, origin)


class SecretRef:
    """A secret that is not read yet: settings hold these, so that a command that needs no secret asks for none.

    `environ` is what `{env = …}` reads: the process's own environment by default, with the project's .env below it where there is one.
    """

    __slots__ = ("environ", "folder", "reference", "where")

    def __init__(self, reference: Mapping[str, str], *, where: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.reference = reference
        self.where = where
        self.folder = folder
        self.environ = environ

    def get(self) -> Secret:
        """The secret; raises MissingSecret."""
        return resolve(self.reference, where=self.where, folder=self.folder, environ=self.environ)

    def __repr__(self) -> str:
        return f"SecretRef({dict(self.reference)})"
