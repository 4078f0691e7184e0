"""Raw data to a prepared set: validated, joined in time, texts embedded, one record a row.

python launch/prepare.py --config=configs/acl18.py
python launch/prepare.py --config=configs/planted_folder.py --plant=4000   # writes its raw files
"""

import json
from pathlib import Path

import numpy as np
from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.data import planted, planted_folder, prepare
from fusionjax.train.telemetry import progress_bar, say

_PLANT = flags.DEFINE_integer("plant", None, "First write a planted market of so many sessions")


def main(config: Config) -> None:
    if _PLANT.value is not None:
        market = planted.plant(planted.regime(config.ladder.variant), config.seed)
        planted_folder.write(market, Path(config.data.root), np.arange(_PLANT.value))
    with progress_bar() as progress:
        folder = prepare.prepare(config.data, progress)
    manifest = json.loads((folder / "manifest.json").read_text())
    say(
        f"{folder}: {manifest['rows']:,} bars of {manifest['symbols']} symbol(s), "
        f"{manifest['first']} to {manifest['last']}; {manifest['documents']:,} texts"
        + "".join(f", {n:,} items of {kind}" for kind, n in manifest["media"].items())
    )
    for note in manifest["notes"]:
        say(f"  left out: {note}")


if __name__ == "__main__":
    app.run(main)
