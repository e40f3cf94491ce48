"""Drift, and the decision to retrain."""

from recsys.monitoring.decision import Decision, decide
from recsys.monitoring.drift import Signal, drift_report
from recsys.monitoring.monitor import MonitoringReport, monitor
from recsys.monitoring.observations import count_positive, join_context

__all__ = [
    "Decision",
    "MonitoringReport",
    "Signal",
    "count_positive",
    "decide",
    "drift_report",
    "join_context",
    "monitor",
]
