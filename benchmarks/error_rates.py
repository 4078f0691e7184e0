"""How often intervals, verdicts, the promotion gate and placebos are wrong, and what they find.

python benchmarks/error_rates.py --cells=all --worlds=1000
Simulated worlds without skill, on other seeds and settings than those the method was chosen on
(--chosen_on repeats those). --cells=small takes minutes on one core, --cells=all hours.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from fusionjax import app, files

_WORLDS = flags.DEFINE_integer("worlds", 1000, "Of each kind; tables and placebos a third of them")
_CELLS = flags.DEFINE_enum("cells", "small", ["small", "all"], "How many kinds of worlds")
_PARTS = flags.DEFINE_list(
    "parts", "days,methods,tables,gate,placebos,inputs", "Which statements are measured"
)
_CHOSEN_ON = flags.DEFINE_boolean(
    "chosen_on", False, "Measure the worlds that the method was chosen on"
)
_WORKDIR = flags.DEFINE_string("workdir", "runs/error_rates", "Where results are written")


def main(_: None) -> None:
    from benchmarks.measures import error_report
    from fusionjax.telemetry import say

    folder, whole = Path(_WORKDIR.value), _CELLS.value == "all"
    for part in _PARTS.value:
        made = error_report.run(part, whole, _WORLDS.value, _CHOSEN_ON.value)
        rows = [dataclasses.asdict(x) for x in made]
        files.write_text(folder / f"{part}.json", json.dumps(rows, indent=1))
        text = error_report.text(part, made)
        files.write_text(folder / f"{part}.md", text)
        say(text)
    say(f"written to {folder}")


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
