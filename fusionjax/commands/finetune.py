"""Fine-tunes a run on labels that matured after its last one; the parent is not changed.

fusionjax finetune --config=acl18_stream --from=runs/acl18_stream --data=FOLDER
"""

import time
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_FROM = flags.DEFINE_string("from", None, "Run folder of the parent", required=True)
_DATA = flags.DEFINE_string("data", None, "Short for --config.data.root")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; <parent>_finetuned if not given")


def main(config: Config) -> None:
    config, parent = app.with_flags(config, {"data.root": _DATA.value}), Path(_FROM.value)
    from fusionjax import ledger
    from fusionjax.adapt.finetune import finetune
    from fusionjax.evaluate import leaks
    from fusionjax.evaluate.inference import read_info, seed_folders
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import say
    from fusionjax.train.hooks.metrics import last_metrics
    from fusionjax.train.loop import StopOnSignal

    mesh = make_mesh(config.mesh)
    folder = Path(_WORKDIR.value or f"{str(parent).rstrip('/')}_finetuned")
    begun = time.perf_counter()
    verdict = finetune(parent, config, mesh, folder, StopOnSignal())
    if verdict is not None:
        say(verdict.why)
    info, seeds = read_info(folder), seed_folders(folder)
    ledger.append(
        Path(app.LEDGER.value),
        ledger.record(
            "finetune",
            info.config,
            ledger.Subject(
                str(folder),
                info.fingerprint,
                tuple(read_info(seed).config.seed for seed in seeds),
                info.config.train.split,
                str(parent),
            ),
            ledger.Result(
                last_metrics(seeds),
                {"seconds": time.perf_counter() - begun, "devices": float(mesh.size)},
            ),
        ),
    )
    further = app.command("evaluate", f"--run={folder}", f"--also={parent}")
    say(f"run folder: {folder}\nnext: {further}")
    if verdict is not None:
        leaks.require_answered(list(verdict.suspect), config.evaluate)
