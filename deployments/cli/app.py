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
Deidentify = Annotated[
    bool,
    typer.Option(
        "--deidentify",
        help="Pseudonyms in place of names, ids, dates and paths in all that is written (docs/patients.md).",
    ),
]
Frame = Annotated[
    str | None,
    typer.Option(
        help="What of the scan the grid covers: volume, or kidneys, a box around both.", show_default="volume"
    ),
]
Spacing = Annotated[
    float | None,
    typer.Option(help="Equal spacing of the grid, in mm.", show_default="the frame is stretched to the shape"),
]
Shape = Annotated[int | None, typer.Option(help="Voxels along each side of the grid.", show_default="128")]
CystTo = Annotated[
    str | None,
    typer.Option(help="What a cyst is to the network: background, kidney or tumor.", show_default="background"),
]
Seed = Annotated[int | None, typer.Option(help="Another seed, another result.", show_default="23")]
