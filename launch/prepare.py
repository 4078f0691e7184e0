"""Prepares raw data: validates it, joins it in time, embeds texts, writes one record a row.

python launch/prepare.py --config=configs/acl18.py
python launch/prepare.py --config=configs/acl18.py --audit     # its quality, as an HTML page
python launch/prepare.py --config=configs/planted_folder.py --source=FOLDER   # a market folder
"""

import json
import sys

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_SOURCE = flags.DEFINE_string("source", None, "A market folder, instead of config.data's raw data")
_AUDIT = flags.DEFINE_bool(
    "audit", False, "Also audit the set; exit status 3 if it is not fit to train on"
)
_EXIT_UNFIT = 3


def main(config: Config) -> None:
    from fusionjax.data import audit, prepare, store
    from fusionjax.report import audit as audit_page
    from fusionjax.telemetry import CONSOLE, progress_bar, say

    if _SOURCE.value is not None:
        config = config.override({"data.source": "folder", "data.root": _SOURCE.value})
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
    for line in manifest.get("revised", ()):  # sets of before have no such line
        say(f"  revised: {line}")
    if _AUDIT.value:
        audited = audit.audit(store.load(folder), config)
        CONSOLE.print(audit_page.for_screen(audited))
        audited.save(folder)
        say(f"{audited.verdict}\nwritten to {audit_page.write(audited, folder)} and audit.json")
        if audited.refusals:
            sys.exit(_EXIT_UNFIT)


if __name__ == "__main__":
    app.run(main)
