"""The promotion decision: every gate with its number and its limit. Pure; effects are elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from recsys.config import Config
from recsys.evaluation import paired_bootstrap


class Gate(BaseModel):
    """One condition: passes when `value` is above (or at) `limit`."""

    model_config = ConfigDict(frozen=True)
    name: str
    value: float
    limit: float
    passed: bool
    detail: str

    def __str__(self) -> str:
        relation = "holds" if self.passed else "FAILS"
        return f"{self.name} {relation}: {self.value:.4f} against {self.limit:.4f} ({self.detail})"


class Decision(BaseModel):
    """All gates; a challenger is promoted when every one holds."""

    model_config = ConfigDict(frozen=True)
    gates: tuple[Gate, ...]

    @property
    def promoted(self) -> bool:
        """Tell whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    @property
    def refusal(self) -> str:
        """Name each gate that failed, with value and limit."""
        return "; ".join(str(gate) for gate in self.gates if not gate.passed)


@dataclass(frozen=True)
class Evidence:
    """What the gates look at: per-user main metric of the model, baselines and champion on the same users."""

    model: NDArray[np.float64]
    baselines: dict[str, NDArray[np.float64]]
    champion: NDArray[np.float64] | None
    champion_version: str
    index_recall: float
    parity: float
    cold: NDArray[np.bool_]


def decide_promotion(config: Config, evidence: Evidence) -> Decision:
    """Return the decision: baselines beaten, champion not missed overall and on cold users, index and bundle faithful.

    Each comparison is a paired bootstrap over users of one another's difference; its lower bound counts.
    """
    gates = [_beats(config, evidence, name) for name in ("random", "popularity")]
    everyone = np.ones(len(evidence.model), bool)
    gates += [
        _not_worse(config, evidence, everyone, "not_worse_than_champion"),
        _not_worse(config, evidence, evidence.cold, "not_worse_for_cold_users"),
        _at_least("index_recall", evidence.index_recall, config.index.min_recall, "found of exact search's best"),
        _at_least("serving_parity", evidence.parity, 1.0, "share of lists equal after reloading in a fresh process"),
    ]
    return Decision(gates=tuple(gates))


def _beats(config: Config, evidence: Evidence, baseline: str) -> Gate:
    mean, low, _ = paired_bootstrap(
        evidence.model, evidence.baselines[baseline], config.promotion.n_bootstrap, config.evaluation.seed
    )
    limit = config.promotion.min_lift_over_popularity if baseline == "popularity" else 0.0
    detail = f"{config.evaluation.main_metric}: lower bound of model minus {baseline}, mean {mean:.4f}"
    return Gate(name=f"beats_{baseline}", value=low, limit=limit, passed=low > limit, detail=detail)


def _not_worse(config: Config, evidence: Evidence, who: NDArray[np.bool_], name: str) -> Gate:
    champion = evidence.champion
    if champion is None:
        return Gate(name=name, value=0.0, limit=0.0, passed=True, detail="there is no champion yet")
    measured = who & ~np.isnan(champion) & ~np.isnan(evidence.model)
    if measured.sum() < _FEW:
        return Gate(name=name, value=0.0, limit=0.0, passed=True, detail=f"only {int(measured.sum())} such users")
    old = float(champion[measured].mean())
    mean, low, _ = paired_bootstrap(
        evidence.model[measured], champion[measured], config.promotion.n_bootstrap, config.evaluation.seed
    )
    limit = config.promotion.margin - config.promotion.tolerance * old
    value = low if config.promotion.margin > 0 else mean
    detail = (
        f"{config.evaluation.main_metric}: model minus champion {evidence.champion_version} ({old:.4f}), mean "
        f"{mean:.4f}, lower bound {low:.4f}, {int(measured.sum())} users"
    )
    return Gate(name=name, value=value, limit=limit, passed=value >= limit, detail=detail)


def _at_least(name: str, value: float, limit: float, detail: str) -> Gate:
    return Gate(name=name, value=value, limit=limit, passed=value >= limit, detail=detail)


_FEW = 20  # a comparison of fewer users says nothing


def gate_table(gates: Sequence[Gate]) -> str:
    """Return the gates as a Markdown table."""
    rows = [
        f"| {g.name} | {g.value:.4f} | {g.limit:.4f} | {'yes' if g.passed else '**no**'} | {g.detail} |" for g in gates
    ]
    return "\n".join(["| gate | value | limit | holds | what |", "|---|---|---|---|---|", *rows])
