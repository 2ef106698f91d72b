"""Every refusal as the code words it, read from the sources: a search for a message's words finds it here."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from deployments.reference.markdown import page, table

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("kits_core", "db", "tasks", "flows", "deployments")
_PARTS = ("expected", "got", "next_step")
_KINDS = {"KitsError", "CaseError", "HeaderError", "TransferError", "FullDiskError", "HomeError", "WorkerDiedError",
          "CatalogUnreachableError", "BadParameter"}  # fmt: skip
_UNKNOWN = "…"

Constants = Mapping[str, ast.expr]


def messages() -> dict[str, list[str]]:
    """The messages by the module that raises them, `…` for what is known only then."""
    trees = {
        path.relative_to(_ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(path for room in _ROOMS for path in (_ROOT / room).rglob("*.py"))
    }
    everywhere = {name: value for tree in trees.values() for name, value in _constants(tree).items()}
    found = {}
    for module, tree in trees.items():
        known = everywhere | _constants(tree)
        # A Pydantic model refuses a setting by ValueError, which is shown; elsewhere that is a fault of a caller.
        kinds = _KINDS | ({"ValueError"} if _imports_pydantic(tree) else set())
        texts = dict.fromkeys(text for node in ast.walk(tree) if (text := _message(node, kinds, known)))
        if texts:
            found[module] = list(texts)
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


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Values that a module gives names to."""
    given = [node for node in tree.body if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in given for target in node.targets if isinstance(target, ast.Name)}


def _imports_pydantic(tree: ast.Module) -> bool:
    named = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    return any(name in {"pydantic", "kits_core.stored"} for name in named)


def _message(node: ast.AST, kinds: set[str], known: Constants) -> str:
    if not isinstance(node, ast.Call):
        return ""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in kinds:
        return ""
    parts = {word.arg: _text(word.value, known) for word in node.keywords}
    if all(part in parts for part in _PARTS):
        expected, got, step = (parts[part] for part in _PARTS)
        return f"{_UNKNOWN}: expected {expected}, got {got}; {step}"
    texts = [_text(value, known) for value in node.args]
    if name == "HeaderError" and texts:
        return f"expected {texts[0]}, got {'; '.join(texts[1:])}"
    return "; ".join(text for text in texts if text != _UNKNOWN)


def _text(value: ast.expr, known: Constants) -> str:
    """A string as it is written, with `…` for each part that is computed."""
    return "".join(_pieces(value, known)) or _UNKNOWN


def _pieces(value: ast.expr, known: Constants) -> Iterator[str]:
    match value:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(parts):
            for part in parts:
                yield from _pieces(part, known)
        case ast.FormattedValue(ast.Name(name)) | ast.Name(name) if isinstance(
            known.get(name), ast.Constant | ast.JoinedStr
        ):
            yield from _pieces(known[name], {})
        case ast.BinOp(left, ast.Add(), right):
            yield from _pieces(left, known)
            yield from _pieces(right, known)
        case _:
            yield _UNKNOWN
