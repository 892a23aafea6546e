"""The corpus of hostile texts through every rendering there is, counted."""

from recon.report import render
from recon.report.text import listing, plain
from tests.unit.figures_fixture import HOSTILE, hostile_figures, hostile_item

MORE = [
    "\x9d8;;http://evil.example\x07",
    "\u2066\u202e\u2069",
    "<svg/onload=alert(1)>",
    "%0a=cmd|' /C calc'!A0",
    "\ufeff=1+1",
    "=1" * 20_000,
]
TAGS = ("<img", "<svg/onload", "<svg onload", "</script><")
CONTROLS = ("\x1b", "\x9b", "\x9d")
#: What the place a rendering goes to would act on. In CSV and JSON lines markup is data; a formula is looked at cell by cell elsewhere.
ACTING = {
    "html": (*TAGS, *CONTROLS, "\u202e"),
    "md": (*TAGS, *CONTROLS, "\u202e"),
    "junit": (*TAGS, "\x1b", "\x00"),
    "text": (*CONTROLS, "\u202e"),
    "listing": (*CONTROLS, "\u202e"),
    "json": ("\x1b", "\x00"),
    "jsonl": ("\x1b", "\x00"),
    "csv": ('"=', '"+', '"@', '"\t', '"＝'),
}


def test_every_hostile_text_through_every_rendering() -> None:
    """Each text in each place of figures and items, in each format: bytes of UTF-8 come out, and nothing in them acts."""
    tried, odd = 0, []
    for text in [*HOSTILE, *MORE]:
        items = [hostile_item(text), hostile_item(text, number=1)]
        figures = hostile_figures(text)
        made = {form: b"".join(render.pieces(figures, lambda items=items: iter(items), form)) for form in render.FORMATS}
        made["listing"] = plain(listing(figures, items, whole=True)).encode()
        for form, body in made.items():
            tried += 1
            # A quote inside a CSV cell is doubled: what follows it begins no cell.
            shown = body.decode().replace('""', "") if form == "csv" else body.decode()
            odd += [(form, text[:40], word) for word in ACTING[form] if word in shown]
    print(f"bad-input corpus x every renderer: {tried - len(odd)} of {tried}")

    assert odd == []
    assert tried == (len(HOSTILE) + len(MORE)) * (len(render.FORMATS) + 1)
