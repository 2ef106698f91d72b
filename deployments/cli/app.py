"""The application that verbs register with, and the options that several of them share."""

from typing import Annotated

import typer

app = typer.Typer(
    name="kits",
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
