"""A keyed hash recognises cases that were removed for good, so that they stay out."""

import json
from collections.abc import Iterable

from sqlalchemy.orm import Session

from db.queries import forget as queries
from db.settings import Settings, current_settings
from kits_core.pseudonyms import Pseudonyms


def digest_of(settings: Settings, dataset_id: int, case: str) -> str:
    """A hash of a case with the home's key. It recognises the case, and nobody can tell whose it was."""
    return Pseudonyms(settings.pseudonyms).digest(json.dumps(["forgotten", dataset_id, case]))


def without_forgotten(session: Session, dataset_id: int, names: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """The names of the cases that may come in, and the number of those that may not."""
    all_names = tuple(names)
    digests = queries.forgotten_digests(session, dataset_id)
    if not digests:
        return all_names, 0
    settings = current_settings()
    kept = tuple(name for name in all_names if digest_of(settings, dataset_id, name) not in digests)
    return kept, len(all_names) - len(kept)
