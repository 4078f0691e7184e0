"""How often the selection of modalities keeps noise, and drops what informs.

python benchmarks/selection.py --worlds=500            # the decision alone, on simulated log odds
python benchmarks/selection.py --parts=trained --seeds=10    # whole trainings on planted markets
Markets are of other seeds than those that the method was made on.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from fusionjax import app, files

_WORLDS = flags.DEFINE_integer("worlds", 200, "Simulated worlds of each kind")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Markets, each with a training, of each kind")
_PARTS = flags.DEFINE_list("parts", "simulated", "simulated, trained or both")
_MODALITIES = flags.DEFINE_list("modalities", "10,20,40", "How many, of which 2 or 4 inform")
# Of the log odds, of the modalities that inform in trained markets: .01 to .06 nats.
_VARIANCES = ((0.16, 0.32), (0.08, 0.12, 0.24, 0.48))
_WORKDIR = flags.DEFINE_string("workdir", "runs/selection", "Where results are written")


def main(_: None) -> None:
    from benchmarks.measures import selection_rates as measure
    from fusionjax.telemetry import say
    from studies.data.many import Market
    from studies.fusion.selection import kept_and_worth

    numbers, folder = tuple(map(int, _MODALITIES.value)), Path(_WORKDIR.value)
    rows: list[measure.Rates] = []
    if "simulated" in _PARTS.value:
        for world in measure.worlds(numbers):
            rows.append(measure.simulated(world, _WORLDS.value, seed=1000))
            say(measure.row(rows[-1]))
    if "trained" in _PARTS.value:
        for count in numbers:
            for variance in _VARIANCES:
                market = Market(count, variance)
                found = kept_and_worth(market, _SEEDS.value, first=1000)
                rows.append(measure.rates("trained", *found, len(variance)))
                say(measure.row(rows[-1]))
    files.write_text(folder / "rates.json", json.dumps([dataclasses.asdict(r) for r in rows]))
    text = "\n".join([*measure.HEADER, *map(measure.row, rows)])
    files.write_text(folder / "rates.md", text + "\n")
    say(f"{text}\nwritten to {folder}")


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
