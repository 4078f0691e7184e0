"""Says why one forecast is what it is: what each part of the inputs contributes to it.

fusionjax explain --run=runs/demo --symbol=SPX --at=2018-06-29
Modalities, channels, sessions, documents, patches and experts, each against other samples' content
in its place (docs/evaluation.md). --out=why.json has all targets and parts.
"""

import json
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError, nearest

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's", required=True)
_SYMBOL = flags.DEFINE_string("symbol", None, "The stock", required=True)
_AT = flags.DEFINE_string("at", "last", "Date or ISO timestamp (UTC), or last: the newest bar")
_TARGET = flags.DEFINE_string(
    "target", None, "What to explain, such as direction.1d; the first target if not given"
)
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
_OUT = flags.DEFINE_string("out", None, "File to write, .json")


def main(config: Config) -> None:
    out = None if _OUT.value is None else Path(_OUT.value)
    if out is not None and out.suffix != ".json":
        raise InputError(f"--out={out}: end it with .json")
    from fusionjax import api, files
    from fusionjax.evaluate import explanation

    config = app.with_flags(config, {"data.root": _DATA.value})
    known = explanation.targets(config.targets)
    target = known[0] if _TARGET.value is None else _TARGET.value
    if target not in known:
        raise InputError(f"--target={target}: expected {', '.join(known)}{nearest(target, known)}")
    told = api.load(_RUN.value, config).explanation(_SYMBOL.value, _AT.value)
    print("\n".join(told.lines(target)))
    if out is not None:
        files.write_text(out, json.dumps(told.to_json(), indent=1))
