"""Which values of one setting a search may try; in TOML, for example `dim = { kind = "choice", values = [32, 64] }`."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Domain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FloatRange(_Domain):
    """Real numbers from `low` to `high`; with `log`, each order of magnitude is as likely as the next."""

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "FloatRange":
        return _checked_range(self)

    @property
    def edges(self) -> tuple[float, ...]:
        """The values between which all others lie."""
        return (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Tell whether a search may try `value`."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class IntRange(_Domain):
    """Whole numbers from `low` to `high` in steps of `step`."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    step: int = Field(default=1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "IntRange":
        if (self.high - self.low) % self.step or (self.log and self.step != 1):
            raise ValueError(f"high must be low plus a multiple of step, and log needs step 1; got {self}")
        return _checked_range(self)

    @property
    def edges(self) -> tuple[int, ...]:
        """The values between which all others lie."""
        return (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Tell whether a search may try `value`."""
        return isinstance(value, int) and self.low <= value <= self.high and (value - self.low) % self.step == 0


class Choice(_Domain):
    """One of a few values without an order."""

    kind: Literal["choice"] = "choice"
    values: tuple[bool | int | float | str, ...] = Field(min_length=2)

    @property
    def edges(self) -> tuple[bool | int | float | str, ...]:
        """All values."""
        return self.values

    def holds(self, value: object) -> bool:
        """Tell whether a search may try `value`."""
        return value in self.values


_Range = TypeVar("_Range", FloatRange, IntRange)


def _checked_range(domain: _Range) -> _Range:
    if not domain.low < domain.high or (domain.log and domain.low <= 0):
        raise ValueError(f"low must be below high, and above 0 with log; got {domain}")
    return domain


Domain = Annotated[FloatRange | IntRange | Choice, Field(discriminator="kind")]
