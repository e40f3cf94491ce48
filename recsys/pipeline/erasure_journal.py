"""What orders of erasure found before anything went, kept until the certificate, so that an ended run forgets nothing.

One file for each order, `erasure/work/<receipt>.json`: by place the rows that were held, the digests of the folders or
the file that held them, and the places of the user in towers. It holds no pseudonym.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from recsys.config import Config
from recsys.errors import StorageError
from recsys.pipeline.erasure_orders import Order
from recsys.pipeline.erasure_places import FILES, MONITORING, Place, file_digest, learned
from recsys.pipeline.lineage import digest_at
from recsys.storage import exists, join, list_names, read_json, read_manifest, remove, versions, write_json

if TYPE_CHECKING:
    from recsys.data import PseudonymKey

Json = dict[str, Any]  # Any: JSON
MLFLOW: Final = "mlflow"
FORMAT: Final = 1  # of certificates


def begin_journal(config: Config, orders: list[Order], places: dict[str, Place], logged: list[Json]) -> None:
    """Note what is held before anything goes; of what a run that was ended noted already, nothing is forgotten."""
    first: dict[str, str] = {}
    for order in orders:
        owner = first.setdefault(order.user, order.receipt)
        known = _read(config, order.receipt)
        for name, place in places.items():
            known[name] = _joined(known.get(name), _entry(config, name, place, owner))
        for entry in (_of_monitoring(config), _of_mlflow(places, logged, owner)):
            known[entry["place"]] = _joined(known.get(entry["place"]), entry)
        write_json(_at(config, order.receipt), {"places": known})


def end_journal(config: Config, receipt: str) -> None:
    """Remove an order's notes; they may be gone already."""
    remove(_at(config, receipt))


def certified(
    config: Config, order: Order, owner: str, places: dict[str, Place], as_of: str, key: "PseudonymKey"
) -> Json:
    """Return what a certificate says: every place that was looked at, what it held before and holds now.

    `places` are as they are now; `owner` is the receipt under which the order's user is counted there.
    """
    from recsys.data.erased import tombstone_of

    known = _read(config, order.receipt)
    now = {name: _entry(config, name, place, owner) for name, place in places.items()}
    for name, entry in now.items():
        known.setdefault(name, {**entry, "held": 0, "folders": {}})
    left = left_of(config, owner, known, places)
    return {
        "format": FORMAT,
        "receipt": order.receipt,
        "ordered_at": order.at.isoformat(),
        "completed_as_of": as_of,
        "key_id": key.key_id,
        "tombstone": tombstone_of(order.user, key),
        "software": f"recsys {version('recsys')}",
        "places": [_told(config, name, entry, left[name]) for name, entry in sorted(known.items())],
    }


def left_of(config: Config, receipt: str, entries: dict[str, Json], places: dict[str, Place]) -> dict[str, int]:
    """Return by place what is left of a user: rows found now, and what was noted of it and is still there.

    `entries` are those of a journal or of a certificate. Evaluations, values of monitoring and MLflow's copies do not
    name users: of them what held the user must be gone.
    """
    left = {name: place.held[receipt] for name, place in places.items()}
    for name, entry in entries.items():
        rows, folders = entry.get("rows", []), _held_folders(entry)
        n = learned(config, name, rows) if rows else 0
        if name.startswith("evaluations/"):
            n += sum(digest_at(uri) in folders for uri in versions(join(config.storage, name)))
        elif name == MONITORING:
            n += len(folders & set(list_names(join(config.storage, MONITORING))))
        elif name == MLFLOW and folders:
            n += len(folders & _in_mlflow(config))
        left[name] = max(left.get(name, 0), n)
    return left


def check_left(content: Json) -> None:
    """Raise StorageError where a place still holds something of the user: then no certificate may be written."""
    left = [place["place"] for place in content["places"] if place["after"]]
    if left:
        raise StorageError(
            f"{', '.join(left)} still hold something of the user of order {content['receipt']}: another process wrote "
            "meanwhile; erase again when it has ended"
        )


def _entry(config: Config, name: str, place: Place, receipt: str) -> Json:
    folders = {digest: found[receipt] for digest, found in place.folders.items() if found[receipt]}
    entry: Json = {"place": name, "held": place.held[receipt], "folders": folders, "rows": place.rows.get(receipt, [])}
    return entry | ({"file": file_digest(config, name)} if name in FILES else {})


def _of_monitoring(config: Config) -> Json:
    names = list_names(join(config.storage, MONITORING))
    return {"place": MONITORING, "held": len(names), "folders": dict.fromkeys(names, 1), "rows": []}


def _of_mlflow(places: dict[str, Place], logged: list[Json], receipt: str) -> Json:
    """Return the copies in MLflow of bundles that hold the user, and of those of which nobody can tell."""
    known = {digest: found[receipt] for name, place in places.items() if name.startswith("bundles/")
             for digest, found in place.folders.items()}  # fmt: skip
    copies = {f"{each['version']}/{each['bundle']}": 1 for each in logged if known.get(each["bundle"], 1)}
    return {"place": MLFLOW, "held": len(copies), "folders": copies, "rows": []}


def _joined(before: Json | None, found: Json) -> Json:
    """Return what was noted with what is found now: what has gone meanwhile stays noted."""
    if before is None:
        return found
    folders = {**found["folders"], **before["folders"]}
    rows = sorted({*before["rows"], *found["rows"]})
    held = max(before["held"], found["held"])
    return {**found, **before, "held": held, "folders": folders, "rows": rows}


def _told(config: Config, name: str, entry: Json, left: int) -> Json:
    """Return a place as the certificate tells of it: counts, and each digest that changed with what took its place."""
    told: Json = {"place": name, "before": entry["held"], "after": left}
    if entry["rows"]:
        told["rows"] = entry["rows"]
    if name in FILES:
        now = file_digest(config, name)
        changed = [{"before": entry["file"], "after": now}] if now != entry["file"] else []
    elif name == MLFLOW:
        now_logged = sorted(_in_mlflow(config)) if entry["folders"] else []
        changed = [{"before": one, "after": _of_version(one, now_logged)} for one in sorted(entry["folders"])]
    else:
        became = _successors(config, name) if "/" in name or name == "datasets" else {}
        changed = [{"before": digest, "after": became.get(digest)} for digest in sorted(entry["folders"])]
    return told | ({"changed": changed} if changed else {})


def _successors(config: Config, place: str) -> dict[str, str]:
    """Return digest -> digest of the copy that took its place, below a place."""
    found: dict[str, str] = {}
    for uri in versions(join(config.storage, place)):
        before = str(read_manifest(uri).info.get("redacted_from", "")).split()
        found |= dict.fromkeys(before, digest_at(uri))
    return found


def _held_folders(entry: Json) -> set[str]:
    return set(entry["folders"]) if "folders" in entry else {str(each["before"]) for each in entry.get("changed", [])}


def _in_mlflow(config: Config) -> set[str]:
    from recsys.registry.logged import logged_bundles

    return {f"{number}/{digest}" for number, digest, _ in logged_bundles(config)}


def _of_version(before: str, now: list[str]) -> str | None:
    number = before.split("/", 1)[0]
    return next((each for each in now if each.startswith(f"{number}/")), None)


def _read(config: Config, receipt: str) -> dict[str, Json]:
    address = _at(config, receipt)
    return dict(read_json(address)["places"]) if exists(address) else {}


def _at(config: Config, receipt: str) -> str:
    return join(config.storage, "erasure", "work", f"{receipt}.json")
