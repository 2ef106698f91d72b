"""The layouts that a folder of cases can have: each module here is one, called by its name, with a `LAYOUT`."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from kits_core.source.layout import Layout


def layout_names() -> tuple[str, ...]:
    """The names of all layouts, sorted. Loads none."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


@cache
def layouts() -> dict[str, Layout]:
    """All layouts by name, in the order in which a folder is asked whether it is one."""
    known = [import_module(f"{__name__}.{name}").LAYOUT for name in layout_names()]
    return {layout.name: layout for layout in sorted(known, key=lambda layout: (layout.order, layout.name))}
