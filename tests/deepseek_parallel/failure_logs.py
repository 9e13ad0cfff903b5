"""Made logs of failures."""

import csv

import numpy as np

DAY_S = 86400.0


def clustered(number, mean_s=36000.0, seed=0):
    """Gaps that come in clusters: a short one is followed by short ones."""
    rng = np.random.default_rng(seed)
    gaps, is_short = [], False
    for _ in range(number):
        is_short = rng.random() < (0.85 if is_short else 0.1)
        gaps.append(float(rng.exponential(mean_s * (0.05 if is_short else 1.5)) + 60))
    return gaps


def write_log(path, gaps_s, *, nodes=8, seed=0, system="a"):
    """A CSV file of these failures, of nodes by chance, the first ones more often."""
    rng = np.random.default_rng(seed)
    times = 1e9 + np.cumsum([0.0, *gaps_s])
    failed = np.minimum(rng.geometric(0.4, len(times)) - 1, nodes - 1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "node", "system", "nodes"])
        writer.writerows([t, f"node{n}", system, nodes] for t, n in zip(times, failed, strict=True))
    return path
