"""Settings of this machine: where things are kept. Environment variables `LEM_...`, or a `.env` file beside the
command.

Nothing here is read when a module is imported; resources build `Settings()` when a run starts.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where the pipeline keeps its things.

    home: folder of the defaults below. lake: root URL of the lake (a path or s3://bucket/prefix).
    registry: SQLAlchemy URL of the model registry. data: folder or URL that `{data}` stands for in universe files.
    universes: folder of the universe files.
    """

    model_config = SettingsConfigDict(env_prefix="LEM_", env_file=".env", extra="ignore")

    home: Path = Path(".lem")
    lake: str = ""
    registry: str = ""
    data: str = "data"
    universes: Path = Field(default=ROOT / "universes")

    def model_post_init(self, context: object) -> None:
        """Fill in what depends on `home`, which becomes absolute."""
        self.home = self.home.absolute()
        self.lake = self.lake or str(self.home / "lake")
        self.registry = self.registry or f"sqlite:///{self.home / 'registry.sqlite'}"
