"""The application that verbs register with, and the options that several of them share."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


class _PlainFlags:
    """Help that shows no `<bool>` behind an option that takes no value: who types one is refused."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, `--help` too."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
        return found


class _Command(_PlainFlags, TyperCommand):
    """A verb."""


class Group(_PlainFlags, TyperGroup):
    """Verbs under one name."""


class App(typer.Typer):
    """A collection of verbs whose help is as `_PlainFlags` has it."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """See `typer.Typer.command`."""
        return super().command(name, cls=_Command, **settings)


app = App(
    name="kits",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"kits {version('kits-platform')}")
        raise typer.Exit


@app.callback()
def kits(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show only the version."),
    ] = False,
) -> None:
    """Kidney-tumour CT from download to scores. All files are in $KITS_HOME (default ./kits-home)."""


Dataset = Annotated[str | None, typer.Option(help="Name in the catalog.", show_default="the only one")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for a machine to read.")]
