"""What every page needs: the template engine with inert output, hashed style and script, and the policy that allows only those."""

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from recon.duration import words_of
from recon.inert import page_json, terminal
from recon.report.money import amount, money
from recon.report.words import agreed, cut, local, moment, percent, plural

VALUE_LIMIT = 120


def asset(name: str) -> str:
    """A file of recon/report/assets as text."""
    return files("recon.report").joinpath("assets", name).read_text(encoding="utf-8")


def policy(*, styles: tuple[str, ...], scripts: tuple[str, ...]) -> str:
    """A Content-Security-Policy that allows these very texts of style and script, and nothing else at all."""
    allowed = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    if styles:
        allowed.append(f"style-src {' '.join(map(hashed, styles))}")
    if scripts:
        allowed.append(f"script-src {' '.join(map(hashed, scripts))}")
    return "; ".join(allowed)


def hashed(text: str) -> str:
    """The policy's name for an inline text, as a browser computes it (W3C CSP Level 3, "source list")."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(value: Any) -> Any:
    # Every text that a template puts out comes through here, before it is escaped; only markup of our own is let be.
    if isinstance(value, str) and not isinstance(value, Markup):
        return terminal(value)
    return value


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The template engine: autoescape on, every text inert, a name that is not there is an error."""
    # Extensions of the names would decide by file name; here every template is HTML.
    made = Environment(autoescape=True, finalize=_inert, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "n": lambda count: f"{count:,}",
        "percent": percent,
        "took": words_of,
        "moment": moment,
        "local": local,
        "agreed": agreed,
        "money": money,
        "amount": amount,
        "cut": lambda text, limit=VALUE_LIMIT: cut(text, limit),
        # Markup here: JSON with nothing in it that ends a script element.
        "page_json": lambda value: Markup(page_json(value)),  # noqa: S704  page_json leaves no <, > or &
    }
    made.globals |= {"plural": plural}
    return made


@lru_cache(maxsize=4)
def template(name: str) -> Template:
    """A template of our assets, compiled once: it takes as long as everything else in a small report."""
    return environment().from_string(asset(name))


def own(text: str) -> Markup:
    """A text of our own assets, put out as it stands."""
    return Markup(text)  # noqa: S704  only shipped style and script come here
