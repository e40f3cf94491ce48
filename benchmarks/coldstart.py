"""Cold-start curves on MovieLens 1M: users held out wholly, 0, 1, 2, 5, 10 of their events told.

    python benchmarks/coldstart.py                # 1,000 test users; writes state/benchmarks/coldstart.{json,png}
    python benchmarks/coldstart.py --users dev    # 500 other users, for choosing settings

Towers are trained once without any of these users and reused; popularity and segment popularity count the same users'
events. `newcomer` is what `NewcomerRecommender` adds to the towers: the taste of people of the same demographics and
events. Bar: with one event told, nDCG@10 of at least 1.5 times popularity's.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from newcomers import ROOT, labels, load
from numpy.typing import NDArray

from recsys.evaluation import SegmentPopularity, coldstart_curves, curve
from recsys.features import Dataset, Heldout
from recsys.model import ExportedTowers
from recsys.scoring import Popularity, TowerRecommender, recommendable_items
from recsys.scoring.recommender import Scorer
from recsys.scoring.taste import standardised
from recsys.serving import Onboarding

_ALL = 3  # counts every split of the training set: newcomers come after it
app = typer.Typer(add_completion=False)


class Newcomer(TowerRecommender):
    """Adds the evidence that `NewcomerRecommender` adds, to the standardised scores of the towers."""

    def __init__(
        self, people: Dataset, towers: ExportedTowers, recommendable: NDArray[np.bool_], onboarding: Onboarding
    ) -> None:
        super().__init__(people, towers, recommendable, "newcomer")
        self._people, self._onboarding = people, onboarding

    def _scorer(self, heldout: Heldout) -> Scorer:
        towers = super()._scorer(heldout)

        def score(block: slice) -> NDArray[np.float64]:
            asked = zip(heldout.user_rows[block], heldout.history_end[block], strict=True)
            taste = np.array([self._taste(int(row), int(end)) for row, end in asked])
            return standardised(np.asarray(towers(block), np.float64)) + taste

        return score

    def _taste(self, row: int, end: int) -> NDArray[np.float64]:
        events = self._people.events
        own = slice(int(events.offsets[row]), end)
        items = self._people.items.ids[events.item[own][events.positive[own]]]
        return self._onboarding.evidence((), labels(self._people, row), items.tolist())


@app.command()
def measure(
    users: Annotated[Literal["test", "dev"], typer.Option(help="whom to measure")] = "test",
    out: Annotated[Path, typer.Option(help="folder of the results")] = ROOT / "state" / "benchmarks",
) -> None:
    """Measure both windows and write the figures."""
    case = load()
    newcomers: Dataset = case.test if users == "test" else case.dev
    recommendable = recommendable_items(case.train, 2)
    onboarding = Onboarding.of(case.train, case.towers.item_vectors)

    def recommenders(shown: Dataset) -> list[TowerRecommender | Popularity | SegmentPopularity]:
        return [
            TowerRecommender(shown, case.towers, recommendable),
            Newcomer(shown, case.towers, recommendable, onboarding),
            Popularity(case.train, recommendable, _ALL),
            SegmentPopularity(case.train, shown, recommendable),
        ]

    points = [point for window in ("first", "recent") for point in curve(newcomers, recommenders, window)]
    out.mkdir(parents=True, exist_ok=True)
    (out / "coldstart.json").write_text(json.dumps([point.to_json() for point in points], indent=1), encoding="utf-8")
    coldstart_curves(points).savefig(out / "coldstart.png", dpi=110)
    for point in points:
        if point.metric == "ndcg_at_10":
            ratio = f"{point.ratio:.3f} [{point.ratio_low:.3f}, {point.ratio_high:.3f}]"
            print(f"{point.window:7} {point.n_events:3} {point.model:20} {point.value:.4f} "
                  f"[{point.low:.4f}, {point.high:.4f}]  x popularity {ratio}")  # fmt: skip


if __name__ == "__main__":
    app()
