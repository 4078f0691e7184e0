"""Fine-tunes a run on labels that matured after its last one; the parent is not changed.

fusionjax finetune --config=acl18_stream --from=runs/acl18_stream --data=FOLDER
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_FROM = flags.DEFINE_string("from", None, "Run folder of the parent", required=True)
flags.DEFINE_alias("run", "from")
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; <parent>_finetuned if not given")


def main(config: Config) -> None:
    app.begin()
    from fusionjax import api
    from fusionjax.evaluate import leaks
    from fusionjax.telemetry import say

    parent = api.Run(Path(_FROM.value), config, Path(app.LEDGER.value))
    child = parent.finetune(_DATA.value, folder=_WORKDIR.value)
    further = app.command("evaluate", f"--run={child.folder}", f"--also={parent.folder}")
    say(f"run folder: {child.folder}\nnext: {further}")
    if child.promotion is not None:
        leaks.require_answered(list(child.promotion.suspect), config.evaluate)
