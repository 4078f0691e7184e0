"""Exports a run as an artefact that forecasts without the training stack.

fusionjax export --run=runs/demo --out=artefacts/demo
python -m fusionjax.artifact artefacts/demo    # checks it, in any environment
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's", required=True)
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
_OUT = flags.DEFINE_string("out", None, "Folder to write; it must not exist", required=True)


def main(config: Config) -> None:
    from fusionjax import api
    from fusionjax.telemetry import say

    run = api.load(_RUN.value, app.with_flags(config, {"data.root": _DATA.value}))
    manifest = run.export(Path(_OUT.value))
    platforms = ", ".join(manifest["platforms"])
    say(
        f"{_OUT.value}: forecasts after {manifest['cutoff']}, for {platforms}\n"
        f"next: python -m fusionjax.artifact {_OUT.value}"
    )
