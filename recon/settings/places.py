"""Where each key of a TOML text stands, as line numbers: tomllib tells none, and a message without its line sends people searching."""

Path = tuple[str, ...]


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of every table and key of a text that tomllib accepts, by its full path.

    Keys inside inline tables count too. A key inside an array is not listed; ask for the array.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """One pass over a valid TOML text; it only has to know where keys are and where values end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _skip_blank(self) -> bool:
        """Past white space, line ends and comments; False at the end of the text."""
        while self.at < len(self.text):
            char = self._peek()
            if char == "#":
                self._to_line_end()
            elif char in " \t\r\n":
                self.at += 1
            else:
                return True
        return False

    def _to_line_end(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _header(self) -> Path:
        line = self._line()
        while self._peek() == "[":
            self.at += 1
        path = self._key("]")
        while self._peek() == "]":
            self.at += 1
        self.lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table + self._key("=")
        self.at += 1
        for depth in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:depth], line)
        self._value(path)

    def _key(self, stop: str) -> Path:
        """A dotted key, up to (not past) the character `stop`."""
        parts: list[str] = []
        while self.at < len(self.text) and self._peek() != stop:
            char = self._peek()
            if char in "\"'":
                parts.append(self._string())
            elif char in " \t.":
                self.at += 1
            else:
                start = self.at
                while self._peek() not in {"", stop, ".", " ", "\t"}:
                    self.at += 1
                parts.append(self.text[start : self.at])
        return tuple(parts)

    def _string(self) -> str:
        """Past a string of any of the four forms; what stands between its quotes, escapes left as they are."""
        quote = self._peek()
        if self.text.startswith(quote * 3, self.at):
            quote *= 3
        start = self.at = self.at + len(quote)
        while self.at < len(self.text) and not self.text.startswith(quote, self.at):
            self.at += 2 if self._peek() == "\\" and quote[0] == '"' else 1
        inner = self.text[start : self.at]
        self.at += len(quote)
        while len(quote) == 3 and self._peek() == quote[0]:  # A multi-line string may end in one or two quotes of its own.
            self.at += 1
        return inner

    def _value(self, path: Path) -> None:
        self._skip_blank()
        char = self._peek()
        if char in {'"', "'"}:
            self._string()
        elif char == "{":
            self.at += 1
            while self._skip_blank() and self._peek() != "}":
                if self._peek() == ",":
                    self.at += 1
                else:
                    self._pair(path)
            self.at += 1
        elif char == "[":
            self.at += 1
            while self._skip_blank() and self._peek() != "]":
                if self._peek() == ",":
                    self.at += 1
                else:
                    self._value((*path, "[]"))
            self.at += 1
        else:
            while self._peek() not in {"", ",", "]", "}", "\n", "#"}:
                self.at += 1
