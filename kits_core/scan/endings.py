"""Names of the files that hold a scan or a mask."""

from pathlib import Path

ITK_ENDINGS = (".nrrd", ".mha")
ENDINGS = (".nii.gz", ".nii", *ITK_ENDINGS)
"""Of the files that hold a scan or a mask."""


def stem_of(file: Path) -> str | None:
    """The name of an image's file without its ending; None for other files."""
    return next((file.name[: -len(ending)] for ending in ENDINGS if file.name.lower().endswith(ending)), None)
