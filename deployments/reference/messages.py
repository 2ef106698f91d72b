"""Every refusal as the code words it, read from the sources: a search for a message's words finds it here."""

import ast
from collections.abc import Iterator
from pathlib import Path

from deployments.reference.markdown import page, table

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("kits_core", "db", "tasks", "flows", "deployments")
_PARTS = ("expected", "got", "next_step")
_KINDS = {"KitsError", "CaseError", "HeaderError", "TransferError", "FullDiskError", "HomeError", "WorkerDiedError",
          "CatalogUnreachableError"}  # fmt: skip
ELLIPSIS = "…"


def messages() -> dict[str, list[str]]:
    """The messages by the module that raises them, `…` for what is known only then."""
    found = {}
    for path in sorted(path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = dict.fromkeys(text for node in ast.walk(tree) if (text := _message(node)))
        if texts:
            found[path.relative_to(_ROOT).as_posix()] = list(texts)
    return found


def messages_page() -> str:
    """The page of all messages."""
    return page(
        "# Every message",
        "Made from the code. `…` stands for a name, a number or a reason. A message says what was expected, what was "
        "got, and what to do. The likeliest are explained under [Troubleshooting](../troubleshooting.md).",
        *(part for module, texts in messages().items() for part in (
            f"## {module}",
            table(("message",), ((text.replace("*", "\\*").replace("`", ""),) for text in texts)),
        )),
    )  # fmt: skip


def _message(node: ast.AST) -> str:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _KINDS:
        return ""
    parts = {word.arg: _text(word.value) for word in node.keywords}
    if all(part in parts for part in _PARTS):
        expected, got, step = (parts[part] for part in _PARTS)
        return f"{ELLIPSIS}: expected {expected}, got {got}; {step}"
    texts = [text for text in map(_text, node.args) if text != ELLIPSIS]
    return (
        f"expected {texts[0]}, got {'; '.join(texts[1:]) or ELLIPSIS}"
        if node.func.id == "HeaderError" and texts
        else "; ".join(texts)
    )


def _text(value: ast.expr) -> str:
    """A string as it is written, with `…` for each part that is computed."""
    return "".join(_pieces(value)) or ELLIPSIS


def _pieces(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(parts):
            for part in parts:
                yield from _pieces(part)
        case ast.BinOp(left, ast.Add(), right):
            yield from _pieces(left)
            yield from _pieces(right)
        case _:
            yield ELLIPSIS
