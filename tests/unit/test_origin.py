"""Where an authenticated request may go."""

import pytest

from recon.errors import ForeignOrigin
from recon.fetch.origin import BadUrl, Origins, parse_url


def origins(*others: str) -> Origins:
    return Origins(parse_url("https://api.good.example/v1/"), [parse_url(o).origin for o in others])


@pytest.mark.parametrize(
    "url",
    [
        "//evil.example/v1/x",
        "https://api.good.example@evil.example/",
        "https://api.good.example:secret@evil.example/",
        "https://evil.example\\@api.good.example/",
        "https://api.good.example\\.evil.example/",
        "https://api.good.example.evil.example/",
        "https://api.good.example./v1",
        "https://api.good.example:8443/v1",
        "http://api.good.example/v1",
        "http://api.good.example:443/v1",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "https://[::1]/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "gopher://api.good.example/",
        "javascript:alert(1)",
        "data:text/plain,x",
        "https:///v1",
        "https://",
        "https:evil.example",
        "https://api.good.example\n.evil.example/",
        "https://api.good.example\t/v1",
        "https://api.good.example:99999/",
        "https://api.good.example:x/",
        "https://аpi.good.example/",
        "https://api.good.example%2eevil.example/",
        "https://ＡＰＩ.good.example/",
    ],
)
def test_no_credential_goes_to_an_origin_that_is_not_declared(url: str) -> None:
    """Every way around the exact scheme, host and port that we know of is refused, with words."""
    with pytest.raises(ForeignOrigin) as caught:
        origins().resolve(url)
    assert "is not followed" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("charges", "https://api.good.example/v1/charges"),
        ("/v2/charges?page=2", "https://api.good.example/v2/charges?page=2"),
        ("https://API.good.example:443/v1/x?a=b%20c", "https://api.good.example/v1/x?a=b%20c"),
        ("https://api.good.example?cursor=1", "https://api.good.example/?cursor=1"),
        ("HTTPS://api.good.example/ü?q=a b#frag", "https://api.good.example/%C3%BC?q=a%20b"),
        ("charges/a%2Fb", "https://api.good.example/v1/charges/a%2Fb"),
        ("charges/ns:42", "https://api.good.example/v1/charges/ns:42"),
    ],
)
def test_paths_and_own_urls_are_resolved_below_the_base(target: str, expected: str) -> None:
    """Relative paths, absolute paths and URLs of a declared origin resolve, and stay percent-encoded as they came."""
    assert str(origins().resolve(target)) == expected


def test_a_declared_second_origin_is_let_through_and_the_message_tells_how_to_declare_it() -> None:
    """`origins` opens exactly the one that it names; the refusal gives the line to write."""
    assert str(origins("https://files.good.example").resolve("https://files.good.example/a")) == "https://files.good.example/a"
    with pytest.raises(ForeignOrigin) as caught:
        origins().resolve("https://files.good.example/a?token=hush")
    assert caught.value.hint is not None
    assert 'origins = ["https://files.good.example"]' in caught.value.hint
    assert "hush" not in str(caught.value)


def test_a_base_url_serves_with_and_without_its_final_slash() -> None:
    """`https://api.example/v1` and `…/v1/` name the same place for `charges`."""
    for base in ("https://api.example/v1", "https://api.example/v1/"):
        assert str(Origins(parse_url(base)).resolve("charges")) == "https://api.example/v1/charges"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [("http://localhost:1/", True), ("http://127.9.9.9/", True), ("http://[::1]:8/", True), ("http://10.0.0.1/", False)],
)
def test_loopback_is_told_from_other_machines(url: str, loopback: bool) -> None:
    """Plain http is for this machine only, so it must be told which one is this machine."""
    assert parse_url(url).origin.loopback is loopback


def test_a_url_with_a_user_is_bad() -> None:
    """What stands before an @ is never taken for a host or sent."""
    with pytest.raises(BadUrl):
        parse_url("https://user@api.example/")
