"""The `auth` table of a provider in recon.toml, read: which way to sign, with which secrets by reference."""

from collections.abc import Mapping
from pathlib import Path

from recon.fetch.auth import Auth, Basic, Bearer, Given, HeaderKey, QueryKey
from recon.fetch.oauth import SENDS, OAuth2
from recon.fetch.origin import BadUrl, Location, parse_url, shown
from recon.fetch.signing import ALGORITHMS, ENCODINGS, KEY_ENCODINGS, TIMES, Hmac
from recon.files import write_atomically
from recon.secret import Secret, SecretRef
from recon.section import Section

FORMS = (
    'auth = { bearer = { env = "NAME" } }, or basic = { user, password }, header = { name, value }, query = { name, value }, '
    "oauth2 = { token_url, client_id, client_secret }, hmac = { key, header, message }"
)


def auth_of(section: Section, *, insecure: bool = False) -> Auth | None:
    """What the `auth` table of a provider's section says; None where there is none. Raises BadSetting.

    Nothing is read from the environment here: a command that sends no request needs no secret. `insecure` allows a token endpoint
    at plain http on another machine.
    """
    table = section.take("auth", None)
    if table is None:
        return None
    if not isinstance(table, Mapping) or len(table) != 1:
        raise section.bad("auth", "wants a table with one way to sign", hint=FORMS)
    way = next(iter(table))
    auth = section.sub("auth")
    if way == "bearer":
        return Bearer(_given(auth, "bearer"))
    if way not in ("basic", "header", "query", "oauth2", "hmac"):
        raise section.bad("auth", f"{way!r} is no way to sign", hint=FORMS)
    inner = auth.sub(way)
    made: Auth
    if way == "basic":
        made = Basic(_text_or_given(inner, "user"), _given(inner, "password"))
    elif way == "header":
        made = HeaderKey(inner.text("name"), _given(inner, "value"))
    elif way == "query":
        made = QueryKey(inner.text("name"), _given(inner, "value"))
    else:
        made = _oauth2(inner, insecure=insecure) if way == "oauth2" else _hmac(inner)
    inner.finish()
    return made


def _oauth2(section: Section, *, insecure: bool) -> OAuth2:
    refresh = _given(section, "refresh_token") if section.take("refresh_token", None) is not None else None
    made: dict[str, object] = {
        "client_id": _text_or_given(section, "client_id"),
        "client_secret": _given(section, "client_secret") if section.take("client_secret", None) is not None else None,
        "refresh_token": refresh,
        "scope": section.text("scope", ""),
        "params": section.mapping("params", {}),
        "send": section.choice("send", SENDS, "basic"),
        "rotated": _keeper(section, refresh),
    }
    try:
        return OAuth2(_token_place(section, insecure=insecure), **made)  # type: ignore[arg-type]  # each read by its kind above
    except ValueError as error:
        raise section.bad("client_secret", str(error)) from None


def _token_place(section: Section, *, insecure: bool) -> Location:
    url = section.text("token_url")
    try:
        place = parse_url(url)
    except BadUrl as error:
        raise section.bad("token_url", f"{shown(url)} cannot be used: {error}", hint="write https://login.example/oauth/token") from None
    if place.query or "#" in url:
        raise section.bad("token_url", "holds a query or a fragment", hint="further fields of the form belong to params")
    if place.origin.scheme == "http" and not place.origin.loopback and not insecure:
        why = f"{place.origin} is plain http, so the client's secret would cross the network in clear"
        raise section.bad("token_url", why, hint="write https://…, or insecure = true where the network itself is trusted")
    return place


class _Keeper:
    """Writes a new refresh token over the file that the old one came from, in one step, for its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, token: Secret) -> bool:
        write_atomically(self.path, [token.reveal().encode() + b"\n"])
        return True


def _keeper(section: Section, refresh: Given | None) -> _Keeper | None:
    if not section.flag("keep", False):
        return None
    if not isinstance(refresh, SecretRef) or "file" not in refresh.reference:
        why = "a new refresh token can only be kept where the old one is a file that may be written"
        raise section.bad("keep", why, hint='refresh_token = { file = "refresh-token" }')
    return _Keeper(refresh.folder / refresh.reference["file"])


def _hmac(section: Section) -> Hmac:
    key_id = None
    if section.take("key_id", None) is not None:
        inner = section.sub("key_id")
        key_id = HeaderKey(inner.text("name"), _given(inner, "value"))
        inner.finish()
    try:
        return Hmac(
            _given(section, "key"),
            header=section.text("header"),
            message=section.text("message"),
            algorithm=section.choice("algorithm", ALGORITHMS, "sha256"),
            encoding=section.choice("encoding", ENCODINGS, "hex"),
            key_encoding=section.choice("key_encoding", KEY_ENCODINGS, "text"),
            prefix=section.text("prefix", ""),
            timestamp=section.text("timestamp", None),
            time=section.choice("time", tuple(TIMES), "epoch_s"),
            nonce=section.text("nonce", None),
            key_id=key_id,
        )
    except ValueError as error:
        raise section.bad("message", str(error)) from None


def _text_or_given(section: Section, key: str) -> str | Given:
    value = section.take(key)
    return value if isinstance(value, str) else _given(section, key)


def _given(section: Section, key: str) -> Given:
    value = section.take(key)
    if not isinstance(value, Secret | SecretRef):
        raise section.bad(key, "a secret is given by reference only", hint=f'write {key} = {{ env = "NAME" }} or {{ file = "path" }}')
    return value
