"""Settings of this machine: where things are kept, and keys of venues.

They come from environment variables `LEM_...`, or from a file `.env` in the folder of the command. Nothing is read when
a module is imported: resources build `Settings()` when a run starts, and keys are read when a source is opened. Keys
are never part of a resource's configuration, which Dagster stores and shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lem.errors import AlertError, OrderError

ROOT = Path(__file__).resolve().parent.parent
"""What holds `universes/` and `workspace.yaml`: the checkout, or `lem_pipeline` where the wheel is installed."""


class Settings(BaseSettings):
    """Where the pipeline keeps its things.

    Args:
        home: folder of lake, registry and history, unless these are set.
        lake: root URL of the lake (a path or s3://bucket/prefix).
        registry: SQLAlchemy URL of the model registry.
        dagster_storage: PostgreSQL URL of Dagster's history; if empty, SQLite files below `home`.
        data: folder or URL that replaces `{data}` in universe files.
        universes: folder of the user's universe files, which come before all others (`resources.universes`).
        token: what callers of `lem serve` must show.
        tokens: more such tokens, each with a name for the audit log: NAME:TOKEN, with spaces between them.
        ui_token: what browsers must show to `lem ui`.
        webhook_url: where `lem serve` posts what happens to live orders; if empty, nowhere.
        webhook_secret: what it signs that with.
        max_open_orders: of a universe, how many live orders may be open at the same time.
        alert_urls: whom to tell what is wrong: apprise's URLs, with spaces between them; if empty, nobody is told.
        heartbeat_url: URL that is fetched when a night went well; `{universe}` in it stands for the universe's name.
        alert_disk_percent: of the home's disk, how much may be used before that is told.
    """

    model_config = SettingsConfigDict(env_prefix="LEM_", env_file=".env", extra="ignore")

    home: Path = Path(".lem")
    lake: str = ""
    registry: str = Field(default="", repr=False)
    dagster_storage: str = Field(default="", repr=False)
    data: str = Field(default="data", repr=False)
    universes: Path | None = None
    token: SecretStr = SecretStr("")
    tokens: SecretStr = SecretStr("")
    ui_token: SecretStr = SecretStr("")
    webhook_url: SecretStr = SecretStr("")
    webhook_secret: SecretStr = SecretStr("")
    alert_urls: SecretStr = SecretStr("")
    heartbeat_url: SecretStr = SecretStr("")
    alert_disk_percent: float = 95
    max_open_orders: int = 20_000

    @field_validator("alert_disk_percent", mode="before")
    @classmethod
    def _per_cent(cls, value: object) -> float:
        try:
            found = float(str(value))
        except ValueError:
            found = 0.0
        if not 0 < found <= 100:
            raise AlertError(f"LEM_ALERT_DISK_PERCENT is {value!r}; allowed: a number above 0 and up to 100")
        return found

    @field_validator("max_open_orders", mode="before")
    @classmethod
    def _count(cls, value: object) -> int:
        text = str(value).strip()
        if not (text.isdecimal() and text.isascii() and 0 < int(text) <= 1_000_000):
            raise OrderError(f"LEM_MAX_OPEN_ORDERS is {value!r}; allowed: a whole number from 1 to 1000000")
        return int(text)

    @field_validator("universes", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None

    def model_post_init(self, context: object) -> None:
        """Fill in what depends on `home`, which becomes absolute."""
        self.home = self.home.absolute()
        self.lake = self.lake or str(self.home / "lake")
        self.registry = self.registry or f"sqlite:///{self.home / 'registry.sqlite'}"


class Credentials(BaseSettings):
    """Keys of one venue, all optional: `LEM_<VENUE>_API_KEY`, `LEM_<VENUE>_SECRET` and `LEM_<VENUE>_PASSWORD`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    api_key: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    password: SecretStr = SecretStr("")

    @classmethod
    def of(cls, venue: str) -> Credentials:
        """The keys of a venue, named as ccxt names it."""
        prefix: dict[str, Any] = {"_env_prefix": f"LEM_{venue.upper()}_"}
        return cls(**prefix)

    def given(self) -> dict[str, str]:
        """The keys that are set, in plain text and by ccxt's names; only for ccxt's client."""
        found = {"apiKey": self.api_key, "secret": self.secret, "password": self.password}
        return {name: value.get_secret_value() for name, value in found.items() if value.get_secret_value()}
