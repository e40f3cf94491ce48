"""The online service: where it listens and what it puts up with."""

from pydantic import Field, model_validator

from recsys.config.frozen import Frozen


class ServiceConfig(Frozen):
    """Settings of `recsys serve`; sizes are in bytes, times in the unit their name ends with."""

    host: str = Field(default="127.0.0.1", min_length=1, description="another host than loopback needs API keys")
    port: int = Field(default=8080, ge=0, le=65_535, description="0 takes a free one")
    deadline_ms: int = Field(
        default=200, ge=1, le=60_000, description="after it a list that is ready already is the answer"
    )
    max_batch: int = Field(default=64, ge=1, le=1_024, description="most waiting requests that are answered together")
    threads: int = Field(default=1, ge=1, le=256, description="threads of the model's runtime in the engine thread")
    max_concurrent: int = Field(default=256, ge=1, description="requests that are worked on; further ones get 503")
    max_connections: int = Field(default=4_096, ge=1, description="open connections; further ones get 503")
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, description="a larger body gets 413")
    max_pending_bytes: int = Field(
        default=67_108_864, ge=1_024, description="bodies being received, all together; beyond it 503"
    )
    max_header_bytes: int = Field(default=16_384, ge=1_024, description="longer headers and addresses get 431")
    max_json_depth: int = Field(default=20, ge=4, le=100, description="deeper JSON is refused")
    body_timeout_s: float = Field(default=10.0, gt=0, description="a body that takes longer gets 408")
    header_timeout_s: float = Field(default=10.0, gt=0, description="a connection without a request is closed after it")
    keep_alive_s: int = Field(default=20, ge=1, description="an idle connection is closed after it")
    shutdown_s: int = Field(default=30, ge=1, description="time for requests in flight when the service is stopped")
    keys_refresh_s: float = Field(default=5.0, gt=0, description="how soon a new or revoked API key counts")

    @model_validator(mode="after")
    def _one_body_fits(self) -> "ServiceConfig":
        if self.max_pending_bytes < self.max_body_bytes:
            raise ValueError(
                f"service.max_pending_bytes must be at least service.max_body_bytes {self.max_body_bytes}; "
                f"got {self.max_pending_bytes}"
            )
        return self
