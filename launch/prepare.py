"""Raw data to a prepared set: validated, joined in time, texts embedded, one record a row.

python launch/prepare.py --config=configs/acl18.py
"""

import json

from fusionjax import app
from fusionjax.config import Config
from fusionjax.data import prepare
from fusionjax.train.telemetry import progress_bar, say


def main(config: Config) -> None:
    with progress_bar() as progress:
        folder = prepare.prepare(config.data, progress)
    manifest = json.loads((folder / "manifest.json").read_text())
    say(
        f"{folder}: {manifest['rows']:,} bars of {manifest['symbols']} symbol(s), "
        f"{manifest['first']} to {manifest['last']}; {manifest['documents']:,} texts"
    )
    for note in manifest["notes"]:
        say(f"  left out: {note}")


if __name__ == "__main__":
    app.run(main)
