"""The environment as one typed, frozen object: every `OPTIINFRA_*` variable that is read."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are kept. Secrets never appear in a repr."""

    model_config = SettingsConfigDict(env_prefix="OPTIINFRA_", frozen=True, extra="ignore")

    database_url: SecretStr | None = None  # a PostgreSQL server; None: the embedded one
    clickhouse_url: SecretStr | None = None  # a server; None: the embedded one
    qdrant_url: SecretStr | None = None  # a server; None: the embedded one
    qdrant_api_key: SecretStr | None = None  # of that server
    redis_url: SecretStr | None = None  # Redis or Valkey; None: the embedded one
    receive_token: SecretStr | None = None  # of who sends us series; None: made and kept
    data_dir: Path = Field(default_factory=lambda: user_data_path("optiinfra"))
    key_file: Path | None = None  # keys of sensitive values; None: in the data directory
    postgres_bin_dir: Path | None = None  # binaries of the embedded server; None: found

    def get_key_file(self) -> Path:
        """Where the keys of sensitive values are, or will be."""
        return self.key_file or self.data_dir / "keys.json"
