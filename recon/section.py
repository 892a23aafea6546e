"""One table of recon.toml, such as `[providers.shop]`, handed to the plug-in that it configures.

The plug-in takes what it knows by kind; every complaint names file, table and key; what nobody took is an unknown key.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from recon.duration import seconds_of
from recon.errors import BadSetting
from recon.secret import Secret, SecretRef

MISSING: Any = object()


class Section:
    """A table with its place. `file` is the settings file, `path` the table (`providers.shop`), `folder` what relative paths start from.

    Leaves that are secrets by reference are `SecretRef`s already. `take` and its kin remember which keys were asked for; `finish`
    raises BadSetting for the others, with the nearest known key. `place` tells where a key (dotted, below this table) came
    from: `recon.toml:14`, `env RECON__PROVIDERS__SHOP__TIMEOUT`; without it the file's name stands alone. `environ` is what a plug-in's own
    default of `{ env = "NAME" }` reads (see `reference`): the process's environment, unless the project adds its .env. `beside` is what a
    publisher may know of the project around it (`recon.publishers.natively.Neighbours`), None outside of a project.
    """

    def __init__(
        self,
        *,
        name: str,
        file: Path,
        path: str,
        table: Mapping[str, Any],
        folder: Path,
        place: Callable[[str], str] | None = None,
        environ: Mapping[str, str] | None = None,
        beside: Any = None,
    ) -> None:
        self.name = name
        self.file = file
        self.path = path
        self.table = dict(table)
        self.folder = folder
        self.place = place
        self.environ = environ
        self.beside = beside
        self._known: set[str] = set()

    def where(self, key: str) -> str:
        """`recon.toml:14 [providers.shop] base_url`, for messages."""
        place = self.place(key) if self.place else self.file.name
        return f"{place} [{self.path}] {key}"

    def bad(self, key: str, why: str, *, hint: str | None = None) -> BadSetting:
        """The error to raise for this key."""
        return BadSetting(f"{self.where(key)}: {why}", hint=hint)

    def take(self, key: str, default: Any = MISSING) -> Any:
        """The value as it stands; BadSetting where it is missing and there is no default."""
        self._known.add(key)
        if key in self.table:
            return self.table[key]
        if default is MISSING:
            near = get_close_matches(key, [other for other in self.table if other not in self._known], 1)
            raise self.bad(key, "is missing", hint=f"there is {near[0]!r}: did you mean {key!r}?" if near else None)
        return default

    def typed(self, key: str, kind: type | tuple[type, ...], default: Any = MISSING, *, words: str) -> Any:
        """The value, which must be of `kind`; `words` says what is wanted ("a text")."""
        value = self.take(key, default)
        if value is default and default is not MISSING:
            return value
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.bad(key, f"wants {words}, not {type(value).__name__} {_shown(value)}")
        return value

    def text(self, key: str, default: Any = MISSING) -> Any:
        """A text."""
        return self.typed(key, str, default, words="a text")

    def choice(self, key: str, options: Sequence[str], default: Any = MISSING) -> Any:
        """One of a few words."""
        value = self.text(key, default)
        if value is not default and value not in options:
            near = get_close_matches(value, options, 1)
            raise self.bad(key, f"{value!r} is none of {', '.join(options)}", hint=f"did you mean {near[0]!r}?" if near else None)
        return value

    def integer(self, key: str, default: Any = MISSING, *, low: int | None = None) -> Any:
        """A whole number, at least `low`."""
        value = self.typed(key, int, default, words="a whole number")
        if low is not None and value is not None and value is not default and value < low:
            raise self.bad(key, f"is {value}, at least {low} is wanted")
        return value

    def number(self, key: str, default: Any = MISSING) -> Any:
        """A number."""
        return self.typed(key, (int, float), default, words="a number")

    def flag(self, key: str, default: Any = MISSING) -> Any:
        """True or false."""
        return self.typed(key, bool, default, words="true or false")

    def duration(self, key: str, default: Any = MISSING) -> Any:
        """Seconds, from `15m` or a number."""
        value = self.take(key, default)
        if value is default and default is not MISSING:
            return value if value is None else seconds_of(value)
        try:
            return seconds_of(value)
        except (ValueError, AttributeError) as error:
            raise self.bad(key, str(error)) from None

    def mapping(self, key: str, default: Any = MISSING) -> Any:
        """A table."""
        return self.typed(key, dict, default, words="a table")

    def secret(self, key: str, default: Any = MISSING) -> Any:
        """A Secret; a plain text is refused, since secrets stand in no settings file."""
        value = self.take(key, default)
        if value is default and default is not MISSING:
            return value
        if isinstance(value, SecretRef):
            return value.get()
        if isinstance(value, Secret):
            return value
        raise self.bad(key, "a secret is given by reference only", hint=f'write {key} = {{ env = "NAME" }} or {{ file = "path" }}')

    def reference(self, key: str, default: Mapping[str, str]) -> SecretRef | Secret:
        """A secret that is not read yet, by default the one that `default` refers to: `{"env": "STRIPE_API_KEY"}`."""
        fallback = SecretRef(default, where=self.where(key), folder=self.folder, environ=self.environ)
        value = self.take(key, fallback)
        if isinstance(value, SecretRef | Secret):
            return value
        raise self.bad(key, "a secret is given by reference only", hint=f'write {key} = {{ env = "NAME" }} or {{ file = "path" }}')

    def text_or_secret(self, key: str, default: Any = MISSING) -> Any:
        """A text that may also be a secret by reference, such as a database URL: always revealed text."""
        value = self.take(key, default)
        if isinstance(value, SecretRef):
            return value.get().reveal()
        if value is default and default is not MISSING:
            return value
        if not isinstance(value, str):
            raise self.bad(key, f"wants a text or a reference, not {type(value).__name__}")
        return value

    def sub(self, key: str) -> "Section":
        """The table under `key` as a section of its own (empty where it is not there)."""
        table = self.mapping(key, {})
        above = self.place
        place = (lambda inner: above(f"{key}.{inner}")) if above else None
        return Section(
            name=self.name, file=self.file, path=f"{self.path}.{key}", table=table, folder=self.folder, place=place, environ=self.environ
        )

    def finish(self) -> None:
        """Raises BadSetting for the first key that nobody asked for."""
        for key in self.table:
            if key not in self._known:
                near = get_close_matches(key, sorted(self._known), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(self._known))}"
                raise self.bad(key, "is not a setting", hint=hint)


def _shown(value: Any) -> str:
    return "" if isinstance(value, dict | list | SecretRef | Secret) else repr(value)[:60]
