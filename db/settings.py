"""Where everything is: one class, read from the environment. Imports no SQL, so that a command line starts fast."""

import logging
import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.home_catalog import check_no_other, remember, the_one
from kits_core.errors import KitsError
from kits_core.files import keep_private
from kits_core.source.preset import Kits23Addresses

LOCAL_CLUSTER = "local"
_LOG = logging.getLogger(__name__)
_SCHEDULERS = ("tcp://", "tls://", "ws://", "wss://", "ucx://")
_DATABASES = ("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")


class HomeError(KitsError):
    """The home cannot be made, or not as it was asked for."""


class Settings(BaseSettings):
    """`$KITS_HOME`, `$KITS_DATABASE_URL`, and the other fields in the same manner."""

    model_config = SettingsConfigDict(env_prefix="KITS_", frozen=True, extra="ignore")

    home: Path = Field(Path("kits-home"), description="Folder that holds the catalog and every file.")
    home_group: str | None = Field(
        None,
        description="Group of this machine whose members share the home; empty closes it to everyone but its owner.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy address of the catalog; empty takes what the home remembers, or else its catalog.db.",
    )
    dask: str | None = Field(
        None,
        description="Dask cluster that prepares, predicts and scores cases: the address of its scheduler, as "
        "tcp://host:8786, or local for a process a core of this machine; empty uses no cluster.",
    )
    server_idle_minutes: float = Field(
        10.0,
        ge=0,
        le=1440,
        description="How long the home's Prefect server, which the first command starts, waits for another command "
        "before it ends; 0 ends it with the command.",
    )
    server_start_minutes: float = Field(
        15.0,
        gt=0,
        le=1440,
        description="Longest time that a Prefect server may take to start. It needs minutes on a busy machine, or "
        "with its state on PostgreSQL.",
    )

    source_token: SecretStr | None = Field(
        None, description="Bearer token for the host of the source; it is sent to no other, and only over https."
    )
    kits23_image_base: str = Field(Kits23Addresses.image_base, description="Where the preset's images are.")
    kits23_image_revision: str = Field(
        Kits23Addresses.image_revision, description="Branch, tag or commit of the preset's images."
    )
    kits23_label_base: str = Field(
        Kits23Addresses.label_base, description="Where the preset's segmentations and clinical records are."
    )
    kits23_label_revision: str = Field(
        Kits23Addresses.label_revision, description="Branch, tag or commit of the preset's segmentations."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()  # no disk access: settings are read very often

    @field_validator("database_url")
    @classmethod
    def _known(cls, database_url: SecretStr | None) -> SecretStr | None:
        url = database_url.get_secret_value() if database_url else ""
        if not url:
            return None
        if not url.startswith(_DATABASES):
            raise KitsError(  # so that nothing of an address with a password is shown
                f"KITS_DATABASE_URL: expected an address that starts with one of {', '.join(_DATABASES)}, got another; "
                "correct it, or leave it empty for a catalog in the home"
            )
        if not url.startswith("sqlite") and _is_ambiguous(url):
            raise KitsError(
                "KITS_DATABASE_URL: expected a password whose special characters are escaped (@ as %40, / as %2F, # as "
                "%23, ? as %3F, : as %3A), got an address that can be read in two ways; correct it"
            )
        return database_url

    @field_validator("dask")
    @classmethod
    def _scheduler(cls, dask: str | None) -> str | None:
        if not dask:
            return None
        if dask != LOCAL_CLUSTER and not dask.startswith(_SCHEDULERS):
            raise KitsError(
                f"KITS_DASK: expected {LOCAL_CLUSTER} or the address of a scheduler (tcp://host:8786), got {dask}; "
                "correct it, or leave it empty to use no cluster"
            )
        return dask

    def open_home(self) -> Path:
        """The home, made if it is not there, and closed to others: names of patients and their scans lie in it.

        A home that was open is closed; that is said in a warning of the log. A home that someone else owns stays as it
        is. Raises `HomeError` for a home that cannot be made, or that cannot be given to the group.
        """
        try:
            opened = keep_private(self.home, self.home_group)
        except (LookupError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error).strip("'")
            shared = f" and shared with KITS_HOME_GROUP={self.home_group}" if self.home_group else ""
            raise HomeError(
                f"{self.home}: expected a home that can be made there{shared}, got: {reason}; check KITS_HOME and "
                "KITS_HOME_GROUP"
            ) from error
        if opened:
            who = f"those of the group {self.home_group}" if self.home_group else "you"
            _LOG.warning(
                "%s was open to others on this machine (mode %o) and is closed now to all but %s; to share it, set "
                "KITS_HOME_GROUP",
                self.home,
                opened,
                who,
            )
        return self.home

    @property
    def kits23(self) -> Kits23Addresses:
        """Where the preset `kits23` lies."""
        return Kits23Addresses(
            self.kits23_image_base, self.kits23_image_revision, self.kits23_label_base, self.kits23_label_revision
        )

    @property
    def raw(self) -> Path:
        """Converted scans and references, by dataset and case."""
        return self.home / "raw"

    @property
    def incoming(self) -> Path:
        """Downloads that are not converted yet."""
        return self.home / "incoming"

    @property
    def quarantine(self) -> Path:
        """Archives that were refused, by dataset and case."""
        return self.home / "quarantine"

    @property
    def corrections(self) -> Path:
        """References that a person corrected, by dataset (`kits_core.corrections`)."""
        return self.home / "corrections"

    @property
    def prepared(self) -> Path:
        """Network inputs, by recipe, dataset and case."""
        return self.home / "prepared"

    @property
    def runs(self) -> Path:
        """Trainings: settings, state and best checkpoint of each."""
        return self.home / "runs"

    @property
    def predictions(self) -> Path:
        """Segmentations on the original grid, by evaluation and case."""
        return self.home / "predictions"

    @property
    def reports(self) -> Path:
        """HTML reports, by evaluation."""
        return self.home / "reports"

    @property
    def locks(self) -> Path:
        """Lock files, which are empty, by which flow runs of this home take turns."""
        return self.home / "locks"

    @property
    def pseudonyms(self) -> Path:
        """The key of the home's pseudonyms, and what each of them stands for."""
        return self.home / "pseudonyms"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy address of the catalog; `postgresql://` is given the driver that this project installs.

        Raises `KitsError` where the home remembers another database than the one that is set.
        """
        url = the_one(self.home, self.database_url.get_secret_value() if self.database_url else None)
        if url is None:
            # A path may hold what means something in an address: a space, `?`, `#`, `%`.
            return f"sqlite:///{quote(str(self.home / 'catalog.db'))}"
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    def check_one_catalog(self) -> None:
        """Raise `KitsError` where the home has another catalog than the database that is set."""
        check_no_other(self.home, self.catalog_url)

    def remember_catalog(self, *, prefect: bool = False) -> None:
        """Let the home remember the database that is set; `prefect`: with Prefect's own state beside it.

        Call it once that database has answered. Raises `KitsError` where the home has another catalog.
        """
        if self.database_url is not None:
            self.check_one_catalog()
            remember(self.home, self.database_url.get_secret_value(), prefect=prefect)

    def relative(self, path: Path) -> str:
        """`path` as the catalog stores it: relative to the home, so that a home can be moved."""
        return path.relative_to(self.home).as_posix()

    def absolute(self, stored: str) -> Path:
        """The path that `relative` stored."""
        return self.home / stored


def _is_ambiguous(url: str) -> bool:
    """Whether a part of a password may be taken for the host, or for what comes after it, and be shown."""
    rest = url.partition("://")[2]
    user, at, place = rest.partition("@")
    return bool(at) and ("@" in place or user.count(":") > 1 or not set(user).isdisjoint("/?#"))


def current_settings() -> Settings:
    """The settings of the environment as it is now, read once for as long as it stays so.

    Reading them takes over a millisecond, and the tasks of every case need them a dozen times.
    """
    environment = tuple(sorted(item for item in os.environ.items() if item[0].upper().startswith("KITS_")))
    return _read_settings(environment, Path.cwd())


@lru_cache(maxsize=4)
def _read_settings(_environment: tuple[tuple[str, str], ...], _folder: Path) -> Settings:
    return Settings()
