"""Settings that are stored in the catalog and beside models, under a name that upgrades do not change."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from kits_core.errors import KitsError
from kits_core.form import suit_a_form, title_of

_SCHEMA, _CODE = "schema", "code"
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


class StoredSettings(BaseModel):
    """Settings whose hash covers what differs from the defaults, so that a new field renames nothing.

    A field that is removed or renamed, and a default that changes, need an upgrade: it brings settings of the version
    before to the next one, and writes the old default where they had none of their own. A catalog's hashes are made
    anew at its next upgrade (`db.migrate`).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", field_title_generator=title_of, json_schema_extra=suit_a_form
    )

    UPGRADES: ClassVar[tuple[Upgrade, ...]] = ()
    """The first brings settings of version 1 to version 2, and so on."""
    CODE: ClassVar[int] = 1
    """Raise it whenever the same settings give another result; part of the hash."""

    @classmethod
    def schema_version(cls) -> int:
        """Of the settings as they are now."""
        return len(cls.UPGRADES) + 1

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """The settings that `to_stored` gave, in this version or an older one.

        Raises `KitsError` for settings of a newer release, and `ValueError` for what no release has stored.
        """
        settings = {name: value for name, value in stored.items() if name not in (_SCHEMA, _CODE)}
        version = stored.get(_SCHEMA, 1)
        if version > cls.schema_version():
            raise KitsError(
                f"{cls.__name__}: expected settings of version {cls.schema_version()} at most, got version {version}; "
                "a newer release of this software made them, so update this installation"
            )
        for upgrade in cls.UPGRADES[version - 1 :]:
            settings = upgrade(settings)
        return cls.model_validate(settings)

    @classmethod
    def hash_of_stored(cls, stored: Mapping[str, Any]) -> str:
        """The name of stored settings. Settings used with other code have another name than they would have now."""
        return cls.from_stored(stored).hash_by(stored.get(_CODE, 1))

    def to_stored(self) -> dict[str, Any]:
        """All settings as JSON values, with the version of the settings and of the code."""
        return {_SCHEMA: self.schema_version(), _CODE: self.CODE, **self.model_dump(mode="json")}

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name these settings."""
        return self.hash_by(self.CODE)

    def hash_by(self, code: int) -> str:
        """Their name where a version of the code used them."""
        text = json.dumps([code, self.model_dump(mode="json", exclude_defaults=True)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
