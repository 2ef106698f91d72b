"""The source of an ingestion, and the client that asks it, from the settings."""

from dataclasses import dataclass
from functools import lru_cache

import httpx

from db.settings import Settings, current_settings
from kits_core.source.layout import Source, open_source
from kits_core.source.preset import NAME
from kits_core.source.transfer import Transfer, TransferPolicy
from kits_core.text import one_line
from tasks.names import reveal


@dataclass(frozen=True)
class Asked:
    """A source as a flow names it, and how hard it may be asked. `bytes_per_s`: over all connections; None is free.

    `source`: also a pseudonym, see `tasks.names`; `deidentify`: whether what it has is told under pseudonyms alone.
    """

    source: str
    connections: int = 8
    bytes_per_s: float | None = None
    deidentify: bool = False

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
        return open_source(self.place, transfer=self.transfer(), addresses=current_settings().kits23)

    def transfer(self) -> Transfer:
        """The client of this process for the source: one, so that its limits hold over all threads."""
        return _transfer(self, current_settings())


@lru_cache(maxsize=4)
def _transfer(asked: Asked, settings: Settings) -> Transfer:
    policy = TransferPolicy(connections=asked.connections, bytes_per_s=asked.bytes_per_s)
    address = settings.kits23_image_base if asked.source == NAME else asked.place
    if settings.source_token is None or "://" not in address:
        return Transfer(policy)
    return Transfer(policy, bearer={httpx.URL(address).netloc.decode(): settings.source_token.get_secret_value()})
