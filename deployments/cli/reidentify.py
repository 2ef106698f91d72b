"""`kits reidentify`."""

from typing import Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.output import print_json, show_facts


@app.command()
def reidentify(
    pseudonym: Annotated[str, typer.Argument(help="As P-4F7K2M9Q.", metavar="PSEUDONYM")],
    as_json: AsJson = False,
) -> None:
    """Show whom or what a pseudonym of this home stands for. It needs the home's key.

    Example: `kits reidentify P-4F7K2M9Q`
    """
    from db.settings import Settings
    from kits_core.errors import KitsError
    from kits_core.pseudonyms import Pseudonyms, is_pseudonym

    folder = Settings().pseudonyms
    if not is_pseudonym(pseudonym):
        raise KitsError(f"{pseudonym}: expected a pseudonym as P-4F7K2M9Q, got another text; check the spelling")
    found = Pseudonyms(folder).original(pseudonym) if folder.is_dir() else None
    if found is None:
        raise KitsError(
            f"{pseudonym}: expected an entry in {folder}, got none; it was made in another home, or its entry was "
            "deleted"
        )
    if as_json:
        print_json({"pseudonym": pseudonym, "kind": found.kind, **found.facts})
    else:
        show_facts({"pseudonym": pseudonym, "of a": found.kind, **found.facts})
