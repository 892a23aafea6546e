"""What the publishers say alike of a destination at fault: how long it is left alone, and a server's words made fit to be shown."""

THROTTLED_SECONDS = 5.0
"""How long a destination that throttles is left alone."""
MENDED_SECONDS = 300.0
"""How long one is left alone that somebody has to mend."""


def printable(text: str) -> str:
    """At most 300 characters of it on one line, none of which moves a cursor."""
    return "".join(c for c in " ".join(text.split())[:300] if c.isprintable())
