"""Who gets which arm of an experiment: the same user always the same, experiments independent of each other."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import chisquare

_BUCKETS = 2**64


@dataclass(frozen=True)
class Arm:
    """An arm and the share of users it gets."""

    name: str
    share: float


def arm_of(user: str, experiment: str, arms: Sequence[Arm]) -> str:
    """Return the arm of a user (pseudonym), by SHA-256 of experiment and user: sticky, without anything stored.

    Another experiment, or the same under another name, deals users anew. Raises ValueError unless the shares are
    positive and sum to 1.

    >>> arm_of("u1", "ranking", [Arm("champion", 1.0)])
    'champion'
    """
    total = sum(arm.share for arm in arms)
    if not arms or any(arm.share <= 0 for arm in arms) or abs(total - 1) > 1e-9:
        raise ValueError(f"shares of the arms must be positive and sum to 1; got {[arm.share for arm in arms]}")
    digest = hashlib.sha256(f"{len(experiment)}:{experiment}{user}".encode()).digest()
    place, reached = int.from_bytes(digest[:8]) / _BUCKETS, 0.0
    for arm in arms:
        reached += arm.share
        if place < reached:
            return arm.name
    return arms[-1].name


def sample_ratio_p(counts: Mapping[str, int], arms: Sequence[Arm]) -> float:
    """Return the chance of counts of users at least this far from the shares (Pearson's chi-squared test).

    Below .001 the assignment or the log is broken, and no reading of the experiment means anything (Fabijan et al.
    2019). Raises ValueError where arms are counted that the experiment does not have, or nobody is.
    """
    if unknown := sorted(set(counts) - {arm.name for arm in arms}):
        raise ValueError(f"the experiment has no arms {', '.join(unknown)}")
    n = sum(counts.values())
    if not n:
        raise ValueError("no user was counted")
    if len(arms) == 1:
        return 1.0
    observed = [counts.get(arm.name, 0) for arm in arms]
    return float(chisquare(observed, [arm.share * n for arm in arms]).pvalue)
