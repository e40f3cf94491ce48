"""How often the gates promote challengers of a known difference, by simulation.

    python benchmarks/gates.py                 # 1,000 users, 200 challengers of each kind; writes benchmarks/GATES.md

Users' nDCG is 0 for half of them and beta-distributed for the others. A challenger answers 94.5 % of users as the
champion does and the rest anew, so that the standard error of the difference of 1,000 users is 1.6 % of the mean; what
training seeds add is drawn with `promotion.seed_spread`. Sixty users are cold.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.registry import Evidence, decide_promotion

EFFECTS = (-0.05, -0.02, 0.0, 0.02, 0.05, 0.1)
COLD, ANEW = 60, 0.055
WEEKS, YEARS = 52, 20


def users(generator: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.asarray(generator.beta(1.2, 2.5, n) * (generator.random(n) < 0.5))


def decided(config: Config, generator: np.random.Generator, effect: float, n: int) -> str:
    champion = users(generator, n)
    spread = 1 + generator.normal(0.0, config.promotion.seed_spread)
    model = np.where(generator.random(n) < ANEW, users(generator, n), champion) * (1 + effect) * spread
    evidence = Evidence(
        model=model, baselines={"random": champion * 0.01, "popularity": champion * 0.3}, champion=champion,
        champion_version="1", index_recall=1.0, parity=1.0, cold=np.arange(n) < COLD,
        groups={f"age={group}": np.arange(n) % 6 == group for group in range(6)},
    )  # fmt: skip
    return decide_promotion(config, evidence).verdict


def year(config: Config, generator: np.random.Generator, effect: float, n: int) -> float:
    """Return the quality left after a challenger of this difference every week."""
    quality = 1.0
    for _ in range(WEEKS):
        quality *= 1 + effect if decided(config, generator, effect, n) == "promoted" else 1.0
    return quality


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--times", type=int, default=200)
    chosen = parser.parse_args()
    config, generator = Config(), np.random.default_rng(5)
    rows = []
    for effect in EFFECTS:
        found = [decided(config, generator, effect, chosen.users) for _ in range(chosen.times)]
        shares = [found.count(verdict) / len(found) for verdict in ("promoted", "undecided", "refused")]
        rows.append(f"| {effect:+.0%} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
        print(rows[-1], flush=True)
    left = np.mean([year(config, generator, -0.02, chosen.users) for _ in range(YEARS)])
    last = f"After {WEEKS} weekly challengers of 2 % less, {left:.1%} of the quality is left (mean of {YEARS} years)."
    print(last)
    policy = config.promotion
    head = f"{chosen.users} users, error rate {policy.error_rate:.0%}, spread of seeds {policy.seed_spread:.1%}."
    table = ["| challenger | promoted | undecided | refused |", "|---|---|---|---|", *rows]
    about = __doc__.split("\n\n", 2)[2]
    text = "\n".join(["# What the gates promote", "", about, head, "", *table, "", last])
    Path(__file__).with_name("GATES.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
