"""Names that must not be shown, found in texts that others made."""

import re

_LEAST_LETTERS = 3


class Scrubber:
    """Puts pseudonyms in place of names in texts that others made, such as errors and logs."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, name: str, instead: str) -> None:
        """From now on `instead` stands for `name`. Names of fewer than three letters are passed over."""
        name = name.strip()
        if len(name) >= _LEAST_LETTERS and name.casefold() not in self._names:
            self._names[name.casefold()] = instead
            self._pattern = None

    def __call__(self, text: str) -> str:
        """`text` with every known name replaced, the longest first, in whatever case; whole words only."""
        if not self._names:
            return text
        pattern = self._pattern
        if pattern is None:
            longest_first = sorted(self._names, key=len, reverse=True)
            pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
            self._pattern = pattern
        return pattern.sub(lambda found: self._names.get(found[0].casefold(), "P-?"), text)
