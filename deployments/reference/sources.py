"""What is read from the sources themselves: calls, and strings as they are written."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = "…"

Constants = Mapping[str, ast.expr]


def modules(*rooms: str) -> dict[str, ast.Module]:
    """The syntax tree of each module of these packages, by its path, in the order of the alphabet."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))
    }


def called(node: ast.AST) -> str:
    """The name of what a node calls; nothing where it calls nothing, or something without a name."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Values that a module gives names to."""
    given = [node for node in tree.body if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in given for target in node.targets if isinstance(target, ast.Name)}


def text_of(value: ast.expr, known: Constants) -> str:
    """A string as it is written, with `…` for each part that is computed. `known`: constants that it may name."""
    return "".join(_pieces(value, known)) or UNKNOWN


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
            yield UNKNOWN
