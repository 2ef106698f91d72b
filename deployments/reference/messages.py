"""Every error message of the code, read from the sources, so that a search for its words finds it."""

import ast

from deployments.reference.markdown import page, table
from deployments.reference.sources import UNKNOWN, Constants, called, constants, modules, text_of

_ROOMS = ("kits_core", "db", "tasks", "flows", "deployments")
_PARTS = ("expected", "got", "next_step")
_KINDS = {"KitsError", "CaseError", "HeaderError", "TransferError", "FullDiskError", "HomeError", "WorkerDiedError",
          "CatalogUnreachableError", "BadParameter"}  # fmt: skip


def messages() -> dict[str, list[str]]:
    """The messages by the module that raises them, with `…` for values that are only known then."""
    trees = modules(*_ROOMS)
    everywhere = {name: value for tree in trees.values() for name, value in constants(tree).items()}
    found = {}
    for module, tree in trees.items():
        known = everywhere | constants(tree)
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


def _imports_pydantic(tree: ast.Module) -> bool:
    named = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    return any(name in {"pydantic", "kits_core.stored"} for name in named)


def _message(node: ast.AST, kinds: set[str], known: Constants) -> str:
    name = called(node)
    if not isinstance(node, ast.Call) or name not in kinds:
        return ""
    parts = {word.arg: text_of(word.value, known) for word in node.keywords}
    if all(part in parts for part in _PARTS):
        expected, got, step = (parts[part] for part in _PARTS)
        return f"{UNKNOWN}: expected {expected}, got {got}; {step}"
    texts = [text_of(value, known) for value in node.args]
    if name == "HeaderError" and texts:
        return f"expected {texts[0]}, got {'; '.join(texts[1:])}"
    return "; ".join(text for text in texts if text != UNKNOWN)
