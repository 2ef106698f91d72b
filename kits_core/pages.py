"""How pages are filled in: texts of strangers are escaped, and seen as they are."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from kits_core.text import visible


def environment(package: str) -> Environment:
    """Jinja's environment for the templates of a package; every text is escaped for HTML, and `visible`."""
    return Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined, finalize=_finalize
    )


def _finalize(value: object) -> object:
    return visible(value) if type(value) is str else value  # not `Markup`, which is ours
