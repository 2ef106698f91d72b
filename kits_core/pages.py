"""How pages are filled in: outside text is escaped and shown exactly as it is."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from kits_core.text import visible


def environment(package: str) -> Environment:
    """Jinja's environment for the templates of a package; every text is escaped for HTML, and `visible`."""
    return Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined, finalize=_finalize
    )


def _finalize(value: object) -> object:
    return visible(value) if type(value) is str else value  # not `Markup`, which is ours
