"""The layouts that a folder of cases can have. Each module here that has a `LAYOUT` is one."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from kits_core.source.layouts.layout import CaseFiles, Contents, Layout, Reading

__all__ = ["CaseFiles", "Contents", "Layout", "Reading", "layouts"]


@cache
def layouts() -> dict[str, Layout]:
    """All layouts by name, in the order in which a folder is asked whether it is one."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    known = [module.LAYOUT for module in modules if hasattr(module, "LAYOUT")]
    return {layout.name: layout for layout in sorted(known, key=lambda layout: (layout.order, layout.name))}
