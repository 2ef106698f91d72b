"""Names that must not be shown, found in texts that others made."""

import re

_LEAST_LETTERS = 3
_FILE = re.compile(r"[^\s/\\\"'`<>|:;,()]+")


class Scrubber:
    """Puts pseudonyms in place of names in texts that others made, such as errors and logs."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, name: str, instead: str) -> None:
        """From now on replace `name` by `instead`. Names of fewer than three letters are ignored."""
        name = name.strip()
        if len(name) >= _LEAST_LETTERS and name.casefold() not in self._names:
            self._names[name.casefold()] = instead
            self._pattern = None

    def add_file(self, name: str, instead: str) -> None:
        """The same for a file's name. There may be 100,000 of them, so they are looked up, not searched."""
        if _FILE.fullmatch(name):
            self._files.setdefault(name.casefold(), instead)
        else:
            self.add(name, instead)

    def forget(self) -> None:
        """Forget all names."""
        self._names.clear()
        self._files.clear()
        self._pattern = None

    def __call__(self, text: str) -> str:
        """`text` with every known name replaced, the longest first, in whatever case; whole words only."""
        if self._names:
            text = self._compiled().sub(lambda found: self._names.get(found[0].casefold(), "P-?"), text)
        return _FILE.sub(self._file, text) if self._files else text

    def _compiled(self) -> re.Pattern[str]:
        pattern = self._pattern
        if pattern is None:
            longest_first = sorted(self._names, key=len, reverse=True)
            pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
            self._pattern = pattern
        return pattern

    def _file(self, found: re.Match[str]) -> str:
        name = found[0].rstrip(".!?")
        return self._files.get(name.casefold(), name) + found[0][len(name) :]
