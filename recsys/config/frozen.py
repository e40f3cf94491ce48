"""What every group of settings is."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Settings that cannot change and do not take what they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
