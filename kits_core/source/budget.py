"""What an ingestion will cost in bytes, before the first one is fetched."""

from collections.abc import Iterable
from dataclasses import dataclass

from kits_core.disk import RESERVE_BYTES, FullDiskError, readable

_UNKNOWN_GROWTH = 4
"""Converted bytes for each archive byte, if the header could not be read. Gzip makes int16 CT 2 to 3 times smaller."""


@dataclass(frozen=True)
class FileCost:
    """A file to fetch: bytes of its archive and of the converted file; None where unknown."""

    case: str
    archive_bytes: int | None
    converted_bytes: int | None


@dataclass(frozen=True)
class Budget:
    """What fetching `files` files costs. `disk_bytes`: converted files, and archives for as long as they are kept.

    `unknown`: files whose size the source did not tell; they count as nothing. `largest`: the case of the file that
    takes most when it is converted, and how many bytes that are; None without any.
    """

    files: int
    fetch_bytes: int
    disk_bytes: int
    free_bytes: int
    unknown: int
    largest: tuple[str, int] | None = None

    def check(self) -> None:
        """Raise `KitsError` if the files to fetch do not fit."""
        if self.files and self.disk_bytes + RESERVE_BYTES > self.free_bytes:
            most = f"; {self.largest[0]} takes most, {readable(self.largest[1])}" if self.largest else ""
            raise FullDiskError(
                f"expected {readable(self.disk_bytes)} of free space in the home for {self.files} files "
                f"({readable(self.fetch_bytes)} to fetch) beside {readable(RESERVE_BYTES)} that stay free for "
                f"databases and logs, got {readable(self.free_bytes)}{most}; nothing was fetched; make room, move "
                "the home (KITS_HOME) to a larger disk, or choose fewer cases (--cases)"
            )

    def describe(self) -> str:
        """One sentence for people."""
        unknown = f", the size of {self.unknown} files is not known" if self.unknown else ""
        return (
            f"{self.files} files, {readable(self.fetch_bytes)} to fetch, at most {readable(self.disk_bytes)} more on "
            f"disk, {readable(self.free_bytes)} free{unknown}"
        )


def add_up(costs: Iterable[FileCost], *, free_bytes: int, under_way: int, keep_archives: bool) -> Budget:
    """The budget of fetching all of `costs`, with `under_way` archives on disk at a time unless all are kept."""
    costs = list(costs)
    sizes = [(_converted(cost), cost.case) for cost in costs]
    archives = sorted((cost.archive_bytes or 0 for cost in costs), reverse=True)
    return Budget(
        files=len(costs),
        fetch_bytes=sum(archives),
        disk_bytes=sum(size for size, _ in sizes) + sum(archives if keep_archives else archives[:under_way]),
        free_bytes=free_bytes,
        unknown=sum(cost.archive_bytes is None for cost in costs),
        largest=max(((case, size) for size, case in sizes), key=lambda found: found[1], default=None),
    )


def _converted(cost: FileCost) -> int:
    return _UNKNOWN_GROWTH * (cost.archive_bytes or 0) if cost.converted_bytes is None else cost.converted_bytes
