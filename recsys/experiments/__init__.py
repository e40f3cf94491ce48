"""Experiments: who gets which arm, how lists explore, and what another way to rank would have earned, from the logs."""

from recsys.experiments.assignment import Arm, arm_of, sample_ratio_p
from recsys.experiments.estimates import Estimate, doubly_robust, snips
from recsys.experiments.exploration import explored, propensities_of

__all__ = ["Arm", "Estimate", "arm_of", "doubly_robust", "explored", "propensities_of", "sample_ratio_p", "snips"]
