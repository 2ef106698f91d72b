"""The source of an ingestion, and the client that asks it, from the settings."""

from dataclasses import dataclass, field
from functools import lru_cache

import httpx

from db.settings import Settings, current_settings
from kits_core.source.layout import Reading
from kits_core.source.location import Location, Source
from kits_core.source.opening import open_source
from kits_core.source.preset import NAME
from kits_core.source.probe import Known, Probe
from kits_core.source.transfer import Transfer, TransferPolicy
from kits_core.text import one_line
from tasks.names import reveal


@dataclass(frozen=True)
class SourceRequest:
    """A source as a flow names it, and the limits for it. `bytes_per_s`: over all connections; None sets no limit.

    `layout`: of a folder's files; None looks. `reading`: what was said of its labels and files.

    `source`: also a pseudonym, see `tasks.names`; `deidentify`: whether what it has is told under pseudonyms alone.
    """

    source: str
    connections: int = 8
    bytes_per_s: float | None = None
    deidentify: bool = False
    layout: str | None = None
    reading: Reading = field(default_factory=Reading)

    @property
    def place(self) -> str:
        """Where it is."""
        return reveal(self.source)

    @property
    def shown(self) -> str:
        """The source, for a task's name."""
        return one_line(self.source)

    def open(self) -> Source:
        """Ask the source what it has."""
        return open_source(
            self.place,
            layout=self.layout,
            reading=self.reading,
            transfer=self.transfer(),
            addresses=current_settings().kits23,
        )

    def probe(self, location: Location, known: Known | None) -> Probe:
        """Whether a file is still the known one, and how large it is. Raises `TransferError`."""
        if location.dicom is None:
            return self.transfer().probe(location, known)
        from kits_core.source.local_dicom import probe_dicom  # noqa: PLC0415 - a second, which others need not wait for

        return probe_dicom(location.dicom, known)

    def transfer(self) -> Transfer:
        """The client of this process for the source: one, so that its limits hold over all threads."""
        return _transfer(self, current_settings())


@lru_cache(maxsize=4)
def _transfer(asked: SourceRequest, settings: Settings) -> Transfer:
    policy = TransferPolicy(connections=asked.connections, bytes_per_s=asked.bytes_per_s)
    address = settings.kits23_image_base if asked.source == NAME else asked.place
    if settings.source_token is None or "://" not in address:
        return Transfer(policy)
    return Transfer(policy, bearer={httpx.URL(address).netloc.decode(): settings.source_token.get_secret_value()})
