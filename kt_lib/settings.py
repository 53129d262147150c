"""What the environment says: where state is kept, which servers to use, and the secrets (never in a file of ours)."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment once, when it is made; unset variables keep the defaults said here."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, env_ignore_empty=True)

    state: Path | None = Field(default=None, validation_alias="KT_STATE")
    """Folder of the ledger, memory and models; None means `outputs/state` of the workspace."""
    ledger: str | None = Field(default=None, validation_alias="KT_LEDGER")
    """SQLAlchemy URL of the ledger; None means SQLite in the state folder."""
    ollama_host: str | None = Field(default=None, validation_alias="OLLAMA_HOST")
    """Address of an Ollama server; None means its own default on this machine."""
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    """Address of an OpenAI-compatible server."""
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("OPENAI_API_KEY", "KT_OPENAI_API_KEY")
    )
    """Key for that server."""
    threads: int | None = Field(default=None, ge=1, validation_alias="OMP_NUM_THREADS")
    """Threads of a kernel; None means one per core that this process may use."""
    llama_cpp: Path | None = Field(default=None, validation_alias="KT_LLAMA_CPP")
    """Folder of llama.cpp, whose converter makes GGUF; None means that it is looked for on PATH."""
    unsloth_on_cpu: bool = Field(default=False, validation_alias="KT_UNSLOTH_ON_CPU")
    """Whether Unsloth trains without a GPU, which is slow: for trying kt's way through it on such a machine."""

    def state_folder(self, root: Path) -> Path:
        """The state folder of the workspace at `root`, absolute."""
        return (self.state.expanduser() if self.state else root / "outputs" / "state").absolute()
