"""Things of one kind, each a module of a package: to add one is to add a module."""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """The modules of a package by their names, and the one thing of each that counts.

    `package`: its name; it is imported already. `thing`: what all its modules call it.
    """

    def __init__(self, package: str, thing: str) -> None:
        self._package, self._thing = package, thing

    def names(self) -> tuple[str, ...]:
        """All names, sorted. Loads none of the modules."""
        return tuple(sorted(module.name for module in iter_modules(sys.modules[self._package].__path__)))

    def __getitem__(self, name: str) -> T:
        """The one of this name. Raises `ValueError` as `check` does."""
        thing: T = getattr(import_module(f"{self._package}.{self.check(name)}"), self._thing)
        return thing

    def load(self) -> dict[str, T]:
        """All of them, by name."""
        return {name: self[name] for name in self.names()}

    def check(self, name: str) -> str:
        """The name, as it is. Raises `ValueError` where nothing is called so; for settings (`AfterValidator`)."""
        if name not in self.names():
            raise ValueError(f"expected one of {', '.join(self.names())}, got {name!r}")
        return name

    def choices(self) -> dict[str, Any]:
        """For a field's `json_schema_extra`: the names that a form and the command line offer."""
        return {"enum": list(self.names())}

    def title(self, name: str) -> str:
        """The first line of the module's text about itself, without the full stop. Does not load the module."""
        spec = find_spec(f"{self._package}.{self.check(name)}")
        if spec is None or spec.origin is None:
            raise ValueError(f"{self._package}.{name}: expected a module with a file")
        text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or name
        return text.splitlines()[0].rstrip(".")
