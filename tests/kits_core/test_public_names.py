"""The interface for notebooks: every name is there, typed, documented, and costs nothing until it is used."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import db
import kits_core

NAMES = [(module, name) for module in (kits_core, db) for name in module.__all__]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value))
def test_a_name_is_the_one_that_its_module_defines(module, name):
    found = getattr(module, name)
    assert found is getattr(import_module(module.PLACES[name]), name)
    if callable(found):
        assert inspect.getdoc(found)
        assert found.__module__ == module.PLACES[name]


@pytest.mark.parametrize("module", [kits_core, db], ids=lambda module: module.__name__)
def test_types_and_places_name_the_same(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    lines = [one for one in typed.body if isinstance(one, ast.ImportFrom)]
    assert lines == typed.body
    imported = {alias.name: one.module for one in lines for alias in one.names}
    assert imported == module.PLACES
    assert sorted(module.__all__) == sorted(module.PLACES)
    assert set(module.__all__) <= set(dir(module))


def test_another_name_is_refused_as_of_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'predict_everything'"):
        _ = kits_core.predict_everything
    with pytest.raises(AttributeError, match="has no attribute 'session'"):
        _ = db.session


def test_the_import_loads_no_library():
    code = "import sys, kits_core, db; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"kits_core", "db"} <= set(loaded)
    assert not {"numpy", "pandas", "pydantic", "sqlalchemy", "keras"} & set(loaded)
