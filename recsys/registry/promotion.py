"""The promotion decision: every gate with its number and its limit. Pure; effects are elsewhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, computed_field

from recsys.config import Config, PromotionConfig
from recsys.evaluation import paired_bootstrap
from recsys.registry.comparison import Comparison

State = Literal["holds", "fails", "undecided"]
Verdict = Literal["promoted", "refused", "undecided"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_N_SLICE_GATES = 2  # cold users, and demographic groups
_WORDS = {"holds": "holds", "fails": "FAILS", "undecided": "is UNDECIDED"}


class Gate(BaseModel):
    """One condition on a number; one that is undecided stops a promotion where it `blocks`."""

    model_config = ConfigDict(frozen=True)
    name: str
    value: float | None
    limit: float
    state: State
    detail: str
    blocks: bool = True

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Tell whether nothing stands against a promotion here."""
        return self.state == "holds" or (self.state == "undecided" and not self.blocks)

    def __str__(self) -> str:
        value = "no value" if self.value is None else f"{self.value:.4f}"
        return f"{self.name} {_WORDS[self.state]}: {value} against {self.limit:.4f} ({self.detail})"


class Decision(BaseModel):
    """All gates: a challenger is promoted when every one passes, refused when one fails, undecided otherwise."""

    model_config = ConfigDict(frozen=True)
    gates: tuple[Gate, ...]

    @property
    def verdict(self) -> Verdict:
        """Return what the gates say together."""
        if any(gate.state == "fails" for gate in self.gates):
            return "refused"
        return "promoted" if all(gate.passed for gate in self.gates) else "undecided"

    @property
    def promoted(self) -> bool:
        """Tell whether every gate passes."""
        return self.verdict == "promoted"

    @property
    def refusal(self) -> str:
        """Name each gate that does not pass, with value and limit; those that fail first."""
        against = [gate for gate in self.gates if not gate.passed]
        return "; ".join(map(str, sorted(against, key=lambda gate: gate.state != "fails")))


@dataclass(frozen=True)
class Evidence:
    """What the gates look at, all per-user values of the main metric being of the same users in the same order.

    `champion` is the model that serves, `best` the best champion of the last year where that is another one. `groups`
    bool[n_users] are the slices no challenger may break, `cold` those without a training event. `refit` and `recipe`
    are the towers trained on all days, and on train alone, on the held-out days. `judged_parity` is the share of judged
    lists that a fresh process serves, `parity` that of the bundle's own lists.
    """

    model: Floats
    baselines: dict[str, Floats]
    champion: Floats | None
    champion_version: str
    index_recall: float
    parity: float
    cold: Bools
    judged_parity: float = 1.0
    groups: Mapping[str, Bools] = field(default_factory=dict)
    best: Floats | None = None
    best_version: str = ""
    refit: Floats | None = None
    recipe: Floats | None = None


def decide_promotion(config: Config, evidence: Evidence) -> Decision:
    """Return the decision: baselines beaten, champion and best champion beaten, nobody left behind, files faithful."""
    policy = config.promotion
    gates = [_beats(config, evidence, name) for name in ("random", "popularity")]
    gates += [
        _better(policy, evidence, evidence.champion, evidence.champion_version, "better_than_champion"),
        _better(policy, evidence, evidence.best, evidence.best_version, "better_than_best_of_the_year"),
        _not_shown_worse(policy, evidence, {"cold users": evidence.cold}, "no_worse_for_cold_users"),
        _not_shown_worse(policy, evidence, evidence.groups, "no_worse_for_any_group"),
        _at_least("index_recall", evidence.index_recall, config.index.min_recall, "found of exact search's best"),
        _at_least("judged_is_served", evidence.judged_parity, policy.min_parity, "share of judged lists served"),
        _at_least("serving_parity", evidence.parity, 1.0, "share of lists equal after reloading in a fresh process"),
        _refit(policy, evidence),
    ]
    return Decision(gates=tuple(gates))


def _beats(config: Config, evidence: Evidence, baseline: str) -> Gate:
    mean, low, _ = paired_bootstrap(
        evidence.model, evidence.baselines[baseline], config.promotion.n_bootstrap, config.evaluation.seed
    )
    limit = config.promotion.min_lift_over_popularity if baseline == "popularity" else 0.0
    detail = f"{config.evaluation.main_metric}: lower bound of model minus {baseline}, mean {mean:.4f}"
    return Gate(name=f"beats_{baseline}", value=low, limit=limit, state=_state(low > limit), detail=detail)


def _better(policy: PromotionConfig, evidence: Evidence, other: Floats | None, version: str, name: str) -> Gate:
    """Demand that the lower bound of the difference passes the margin.

    Where the upper bound stays below it the challenger is worse; between the two, or with too few users, nothing is
    decided.
    """
    if other is None:
        none = "there is no champion yet" if name == "better_than_champion" else "the champion is the best of the year"
        return Gate(name=name, value=None, limit=0.0, state="holds", detail=none)
    found = Comparison.of(evidence.model, other, policy.seed_spread)
    limit, rate = policy.margin * found.other, policy.error_rate
    low, high = found.lower(rate), found.upper(rate)
    few = found.n < policy.min_users
    state: State = "holds" if low > limit else "fails" if high < limit else "undecided"
    detail = (
        f"model minus version {version} ({found.other:.4f}), mean {found.mean:.4f}, bounds at {rate:.0%} error "
        f"{low:.4f} and {high:.4f}, {found.n} users" + (f", at least {policy.min_users} are needed" if few else "")
    )
    return Gate(name=name, value=_finite(low), limit=limit, state="undecided" if few else state, detail=detail)


def _not_shown_worse(policy: PromotionConfig, evidence: Evidence, slices: Mapping[str, Bools], name: str) -> Gate:
    """Fail where a slice is shown to be worse off than with the champion, or before there is one, with popularity.

    The error rate is divided among all slices of both gates about slices (Bonferroni). A slice counts as no worse
    when its lower bound is above the tolerance; between the two nothing is decided, which does not stop a promotion.
    """
    other = evidence.champion if evidence.champion is not None else evidence.baselines["popularity"]
    known = {slice_: mask for slice_, mask in slices.items() if mask.sum() >= policy.min_slice_users}
    if not known:
        few = f"no slice has {policy.min_slice_users} users"
        return Gate(name=name, value=None, limit=0.0, state="undecided", detail=few, blocks=False)
    rate = policy.error_rate / (_N_SLICE_GATES * len(known))
    found = {s: Comparison.of(evidence.model[mask], other[mask]) for s, mask in known.items()}
    worst = min(found, key=lambda s: found[s].upper(rate))
    against = f"version {evidence.champion_version}" if evidence.champion is not None else "popularity"
    one = found[worst]
    detail = (
        f"{worst}: model minus {against} ({one.other:.4f}), mean {one.mean:.4f}, upper bound at {rate:.2%} error for "
        f"{len(known)} slices, {one.n} users"
    )
    high = one.upper(rate)
    sure = all(each.lower(rate) >= -policy.slice_tolerance * each.other for each in found.values())
    state: State = "fails" if high < 0 else "holds" if sure else "undecided"
    return Gate(name=name, value=_finite(high), limit=0.0, state=state, detail=detail, blocks=False)


def _refit(policy: PromotionConfig, evidence: Evidence) -> Gate:
    """Demand that towers trained on all days are no worse on the held-out days than those that never saw them."""
    name = "refit_is_sound"
    if evidence.refit is None or evidence.recipe is None:
        return Gate(name=name, value=None, limit=0.0, state="holds", detail="what was judged is what is served")
    recipe, refit = float(np.nanmean(evidence.recipe)), float(np.nanmean(evidence.refit))
    limit = policy.refit_floor * recipe
    detail = (
        f"towers trained on all days, on the held-out days; {policy.refit_floor} of the judged towers' {recipe:.4f}"
    )
    return _at_least(name, refit, limit, detail)


def _at_least(name: str, value: float, limit: float, detail: str) -> Gate:
    return Gate(name=name, value=_finite(value), limit=limit, state=_state(value >= limit), detail=detail)


def _state(holds: bool) -> State:
    return "holds" if holds else "fails"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def gate_table(gates: Sequence[Gate]) -> str:
    """Return the gates as a Markdown table."""
    rows = [
        f"| {g.name} | {'' if g.value is None else f'{g.value:.4f}'} | {g.limit:.4f} | "
        f"{'yes' if g.state == 'holds' else f'**{g.state}**'} | {g.detail} |"
        for g in gates
    ]
    return "\n".join(["| gate | value | limit | holds | what |", "|---|---|---|---|---|", *rows])
