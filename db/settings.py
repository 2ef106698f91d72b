"""Where everything is: one class, read from the environment. Imports no SQL, so that a command line starts fast."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`$KITS_HOME` and `$KITS_DATABASE_URL`."""

    model_config = SettingsConfigDict(env_prefix="KITS_", frozen=True, extra="ignore")

    home: Path = Field(Path("kits-home"), description="Folder that holds the catalog and every file.")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy address of the catalog; empty takes catalog.db in the home (SQLite)."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @property
    def raw(self) -> Path:
        """Converted scans and references, by dataset and case."""
        return self.home / "raw"

    @property
    def incoming(self) -> Path:
        """Downloads that are not converted yet."""
        return self.home / "incoming"

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
        """Segmentations on the original grid, by model and case."""
        return self.home / "predictions"

    @property
    def reports(self) -> Path:
        """HTML reports, by evaluation."""
        return self.home / "reports"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy address of the catalog; `postgresql://` is given the driver that this project installs."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'catalog.db'}"
        url = self.database_url.get_secret_value()
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    def relative(self, path: Path) -> str:
        """`path` as the catalog stores it: relative to the home, so that a home can be moved."""
        return path.relative_to(self.home).as_posix()

    def absolute(self, stored: str) -> Path:
        """The path that `relative` stored."""
        return self.home / stored
