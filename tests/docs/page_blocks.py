"""The code blocks of a page, and what the page says of those that no test runs.

`<!-- not run: reason -->` right before a block leaves all of it out, `<!-- not run "kits train": reason -->` the
commands that begin so. Several may stand one below the other.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r'<!-- not run(?: "(?P<start>[^"]+)")?: (?P<reason>.+?) -->\n')
_BLOCK = re.compile(
    rf"(?P<marks>(?:{_MARK.pattern.replace('?P<start>', '?:').replace('?P<reason>', '?:')})*)"
    r"(?:^```(?P<language>\w*)\n(?P<fenced>.*?)^```$|(?<=\n\n)(?P<indented>(?:    \S[^\n]*\n)+))",
    flags=re.MULTILINE | re.DOTALL,
)
_SHELL = re.compile(
    r"(\$ )?(\.venv/bin/)?(export|kits|make|python|prefect|pip|git|tar|mkdir|mv|uvx|dask|pg_dump|storescu|KITS_)"
)


@dataclass(frozen=True)
class Block:
    """A block of code. `language`: sh or python. `skipped`: how commands begin that are not run ("": all), and why."""

    line: int
    language: str
    text: str
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """What is typed into a shell, a command a line; comments and shown output are left out."""
        prompts = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        lines = [line.partition("  #")[0].strip() for line in prompts or self.text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]

    @property
    def shown(self) -> str:
        """The first line of the output that the page shows, without its spaces; "" where it shows none."""
        if not self.text.startswith("$ "):
            return ""
        output = [line for line in self.text.splitlines() if line.strip() and not line.startswith("$ ")]
        return " ".join(output[0].split()) if output else ""

    def runs(self, command: str) -> bool:
        return not any(command.startswith(start) for start in self.skipped)


def blocks_of(path: Path | str) -> list[Block]:
    """The blocks of a Markdown file that are code: of a shell, or Python."""
    page = Path(path).read_text(encoding="utf-8")
    found = []
    for one in _BLOCK.finditer(page):
        text = (
            one["fenced"]
            if one["fenced"] is not None
            else "".join(line[4:] + "\n" for line in one["indented"].splitlines())
        )
        language = one["language"] or ("sh" if _SHELL.match(text) else "text")
        skipped = {mark["start"] or "": mark["reason"] for mark in _MARK.finditer(one["marks"])}
        found.append(Block(page[: one.start()].count("\n") + 1, language, text, skipped))
    return [block for block in found if block.language in {"sh", "python"}]


def verbs_in(command: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The words of each call of kits in a line of a shell, with what is set before it."""
    for part in re.split(r"&&|;(?=\s)|\|", command):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # a quotation that another part ends
            continue
        names = [word for word in words if "=" in word and word[: word.index("=")].isupper()]
        settings = dict(word.split("=", 1) for word in names) if words[: len(names)] == names else {}
        rest = words[len(settings) :]
        if rest and rest[0] in {"kits", ".venv/bin/kits"}:
            yield settings, rest[1:]
