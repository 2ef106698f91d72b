"""Whether a file of structures was drawn on a series."""

from pathlib import Path

from kits_core.errors import CaseError
from kits_core.structures.grid import SeriesGrid
from kits_core.structures.structure import Reference


def check_reference(path: Path, reference: Reference, grid: SeriesGrid, *, other_series: bool) -> list[str]:
    """Raise `CaseError` unless `reference` names the series of `grid`, in the same frame of reference; or notes.

    `other_series`: another series will do where the frame of reference is the same, because its millimetres are then
    the same. A file that names no series is taken by its frame of reference, and the other way round.
    """
    frames, series = reference.frames_of_reference, reference.series
    known_frame = bool(frames and grid.frame_of_reference)
    if known_frame and grid.frame_of_reference not in frames:
        raise CaseError(
            grid.case,
            expected=f"{path.name} in the frame of reference of the scan, {grid.frame_of_reference}",
            got=", ".join(frames),
            next_step="give the series that it was drawn on; its positions mean nothing on this one",
        )
    if grid.series in series:
        return [] if known_frame else [f"{path.name} names the series, but no frame of reference is known"]
    if known_frame and not series:
        return [f"{path.name} names no series: it was placed by its frame of reference"]
    if known_frame and other_series:
        return [f"{path.name} was drawn on another series of the same frame of reference"]
    raise CaseError(
        grid.case,
        expected=f"{path.name} drawn on the series {grid.series}",
        got=f"one drawn on {', '.join(series) or 'a series that it does not name'}",
        next_step="give the series that it was drawn on",
    )
