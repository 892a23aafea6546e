r"""Hostile text made inert: what a third party wrote must do nothing where it is shown.

Every value of a record, every key, error body and URL may hold terminal escapes, spreadsheet formulas, markup or characters
that no document may carry. One function per place where text ends up; each leaves ordinary text exactly as it is:

| place      | function     | what is stopped                                                                          |
|------------|--------------|------------------------------------------------------------------------------------------|
| terminal   | `terminal`   | C0, C1, DEL, ESC, OSC 8, line ends, bidi, zero width, lone surrogates: shown as `\x1b`    |
| CSV        | `csv_cell`   | formulas: a leading `= + - @`, TAB, CR, LF, NUL or full-width form, also after spaces      |
| Markdown   | `markdown`   | pipes, backticks, brackets, emphasis, HTML, mentions, line ends                          |
| XML        | `xml`        | characters that XML 1.0 does not allow, even escaped                                     |
| JSON       | `json_bytes` | NaN, lone surrogates: what strict readers refuse                                         |
| JSON in HTML | `page_json` | `</script>`, `<!--`, U+2028 and U+2029                                                  |

HTML itself is escaped by the template engine, with autoescape on for every template.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

# Format characters that move, join or hide what is around them: soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel
# separator, zero width and bidi marks, line and paragraph separators, invisible operators, byte order mark, annotation marks, tags.
INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
CONTROL = re.compile(f"[\x00-\x1f\x7f-\x9f{INVISIBLE}\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")
SURROGATE = re.compile("[\ud800-\udfff]")
FORMULA = re.compile("[ \u00a0\u3000]*[=+\\-@\t\r\n\x00\uff1d\uff0b\uff0d\uff20]")
MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>#+!|~@&$:]|^[-=]|\r\n?|\n")
# XML 1.0, section 2.2: Char ::= #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF].
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PAGE = re.compile("[<>&\u2028\u2029]")


def escaped(character: str) -> str:
    r"""How a character is written that is not shown as itself: `\x1b`, `\u202e`, `\U000e0041`, and `\n`, `\r`, `\t`."""
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short:
        return short
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def terminal(text: str) -> str:
    """The text on one line, with everything that could move a cursor, colour, link or reorder shown as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROL.sub(lambda match: escaped(match[0]), text)


def utf8(text: str) -> str:
    r"""The text with lone surrogates shown as `\ud800`, so that it can be written as UTF-8; nothing else changes."""
    return SURROGATE.sub(lambda match: escaped(match[0]), text) if not text.isascii() else text


def csv_cell(text: str) -> str:
    """The text as a spreadsheet will show it instead of computing it: a leading apostrophe where it could be a formula.

    The rule is OWASP's for CSV injection, with full-width forms and leading spaces, which spreadsheets accept as well.
    """
    text = utf8(text)
    return f"'{text}" if FORMULA.match(text) else text


def markdown(text: str) -> str:
    """The text as it reads in a Markdown table cell: markup escaped, invisible characters shown, on one line."""
    return MARKDOWN.sub(_markdown_escape, CONTROL.sub(lambda match: escaped(match[0]), text))


def _markdown_escape(match: re.Match[str]) -> str:
    # Entities rather than backslashes: a table's pipe, a mention and an autolink are found before backslashes are looked at.
    return f"&#{ord(match[0])};"


def xml(text: str) -> str:
    r"""The text with the characters that XML 1.0 forbids shown as `\x00`; the XML writer escapes the rest."""
    return NOT_XML.sub(lambda match: escaped(match[0]), text)


def json_bytes(value: Any) -> bytes:
    r"""JSON in UTF-8 of any wire value that every reader takes: NaN and infinities as null, lone surrogates shown as `\ud800`.

    RFC 8259, 8.2: what a reader does with a lone surrogate is unpredictable, even where it is written as an escape.
    """
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError):
        return msgspec.json.encode(_whole(value), enc_hook=str)
    except RecursionError:
        return b'"(nested too deeply to show)"'


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, Mapping):
        return {utf8(str(key)): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return value


def page_json(value: Any) -> str:
    """JSON that may stand inside a script element of a page: no `<`, `>`, `&`, U+2028 or U+2029 in it."""
    return PAGE.sub(lambda match: f"\\u{ord(match[0]):04x}", json_bytes(value).decode())
