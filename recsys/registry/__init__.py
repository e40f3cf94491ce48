"""The registry's door: bundles, MLflow runs and versions, the promotion decision and its ledger."""

from recsys.registry.bundle import Bundle, load_bundle, write_bundle
from recsys.registry.card import busiest_users, held_out, model_card
from recsys.registry.ledger import read_ledger, record_decision
from recsys.registry.promotion import Decision, Evidence, Gate, decide_promotion, gate_table
from recsys.registry.redact import redact_bundle, removed_places

__all__ = [
    "Bundle",
    "Decision",
    "Evidence",
    "Gate",
    "busiest_users",
    "decide_promotion",
    "gate_table",
    "held_out",
    "load_bundle",
    "model_card",
    "read_ledger",
    "record_decision",
    "redact_bundle",
    "removed_places",
    "write_bundle",
]
