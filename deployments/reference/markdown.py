"""Tables and headings of the generated pages."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown of our own, on one line each."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def code(value: object) -> str:
    """`value` in code type; nothing for an empty one."""
    text = str(value)
    return f"`{text}`" if text else ""


def page(*parts: str) -> str:
    """The parts as one page, with a line between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def prose(text: str) -> str:
    """A docstring or help text: its paragraphs, each on one line, and `<` as it is."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    return "\n\n".join(paragraphs).replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
