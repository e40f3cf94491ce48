"""Certificates of erasure: complete, sealed, and written whatever ended the runs before."""

from pathlib import Path

import pytest

from recsys import pipeline
from recsys.errors import StorageError
from recsys.storage import join, list_names, read_json, write_json
from tests.pipeline.canary import (
    AS_OF,
    CANARY,
    EVENTS,
    LOGGED,
    ORDERED,
    RECEIPT,
    Mine,
    mine,
    order,
    traces,
    trained,
)

__all__ = ["mine", "trained"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = ("keep out", "survey", "states", "log", "messages", "monitoring", "copies", "champions", "collect", "certify",
         "close")  # fmt: skip


def test_a_certificate_tells_of_every_place_and_names_nobody(mine: Mine) -> None:
    config = mine.config
    order(mine)
    pipeline.erase(config, AS_OF)
    path = Path(config.storage, "erasure", "certificates", f"{RECEIPT}.json")
    told = read_json(str(path))
    assert (told["ordered_at"], told["key_id"]) == (ORDERED.isoformat(), "development")
    assert told["completed_as_of"] == "2026-01-21T00:00:00+00:00" and told["software"].startswith("recsys ")
    counts = {each["place"]: (each["before"], each["after"]) for each in told["places"]}
    assert counts["eventlog"] == (len(LOGGED) + 1, 0) and counts["users"] == (1, 0)
    assert counts["quarantine-eventlog"] == (1, 0) and counts["monitoring/before"] == (1, 0)
    assert counts["mlflow"] == (1, 0) and counts["datasets"] == (0, 0)
    assert sum(n for place, (n, _) in counts.items() if place.startswith("snapshots/")) == len(EVENTS) + 5
    assert all(after == 0 for _, after in counts.values())
    rooms = {place.split("/")[0] for place, (before, _) in counts.items() if before}
    assert {"features", "models", "evaluations", "bundles", "consent", "staging"} <= rooms
    assert pipeline.verify_erasure(config, RECEIPT)["holds"] == {}
    told["places"][0]["before"] += 1
    write_json(str(path), told)
    with pytest.raises(StorageError, match="was changed since it was signed"):
        pipeline.verify_erasure(config, RECEIPT)


def test_a_certificate_may_be_signed_with_a_key_of_its_own(
    mine: Mine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    for name in ("one", "two"):
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / name).write_bytes(pem)
    monkeypatch.setenv("RECSYS_CERTIFICATE_KEY_FILE", str(tmp_path / "one"))
    order(mine)
    pipeline.erase(mine.config, AS_OF)
    assert pipeline.verify_erasure(mine.config, RECEIPT)["signed"] == "Ed25519"
    monkeypatch.setenv("RECSYS_CERTIFICATE_KEY_FILE", str(tmp_path / "two"))
    with pytest.raises(StorageError, match="signed with another key"):
        pipeline.verify_erasure(mine.config, RECEIPT)


class KilledError(Exception):
    """Ends a run where a step begins."""


@pytest.mark.parametrize("step", STEPS)
def test_ended_before_any_step_the_next_run_finishes(mine: Mine, step: str) -> None:
    config = mine.config
    order(mine)

    def kill(name: str) -> None:
        if name == step:
            raise KilledError

    with pytest.raises(KilledError):
        pipeline.erase(config, AS_OF, say=kill)
    pipeline.erase(config, AS_OF)
    assert traces(config.storage, tuple(each for each in mine.secrets if each != CANARY)) == []
    told = read_json(join(config.storage, "erasure", "certificates", f"{RECEIPT}.json"))
    counts = {each["place"]: each["before"] for each in told["places"]}
    assert counts["eventlog"] == len(LOGGED) + 1 and counts["users"] == counts["mlflow"] == 1
    assert sum(n for place, n in counts.items() if place.startswith("models/")) == 2
    assert pipeline.verify_erasure(config, RECEIPT)["holds"] == {}
    assert not list_names(join(config.storage, "erasure", "orders")) + list_names(
        join(config.storage, "erasure", "work")
    )
