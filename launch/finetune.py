"""Goes on from a run on rows after its last matured label; the parent stays as it is.

python launch/finetune.py --config=configs/acl18_stream.py --from=runs/acl18_stream --data=FOLDER
python launch/finetune.py --config=configs/kdd17.py --from=runs/kdd17 --stream    # every rule, from
    # never updating to a training from scratch every month, on each session of finetune.split
"""

import time
from pathlib import Path

from absl import flags

from fusionjax import app, files
from fusionjax.adapt import RULES
from fusionjax.config import Config

_FROM = flags.DEFINE_string("from", None, "Run folder of the parent", required=True)
_DATA = flags.DEFINE_string("data", None, "Short for --config.data.root")
_STREAM = flags.DEFINE_bool("stream", False, "Live finetune.split session by session instead")
_RULES = flags.DEFINE_multi_enum("rule", list(RULES), RULES, "Of the stream; repeat for more")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; <parent>_finetuned if not given")


def main(config: Config) -> None:
    config, parent = app.given(config, {"data.root": _DATA.value}), Path(_FROM.value)
    if _STREAM.value:
        live(config, parent)
        return
    from fusionjax import ledger
    from fusionjax.adapt.finetune import finetune
    from fusionjax.evaluate.inference import read_info, seed_folders
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.train.loop import StopOnSignal
    from fusionjax.train.telemetry import last_metrics, say

    mesh = make_mesh(config.mesh)
    folder = Path(_WORKDIR.value or f"{str(parent).rstrip('/')}_finetuned")
    begun = time.perf_counter()
    verdict = finetune(parent, seed_folders(parent), config, mesh, folder, StopOnSignal())
    if verdict is not None:
        say(verdict.why)
    made, seeds = read_info(folder), seed_folders(folder)
    ledger.append(
        Path(app.LEDGER.value),
        ledger.record(
            "finetune",
            made.config,
            run=str(folder),
            parent=str(parent),
            data=made.fingerprint,
            seeds=tuple(read_info(seed).config.seed for seed in seeds),
            split=made.config.train.split,
            metrics=last_metrics(seeds),
            cost={"seconds": time.perf_counter() - begun, "devices": float(mesh.size)},
        ),
    )
    say(
        f"run folder: {folder}\nnext: python launch/evaluate.py {app.config_flag()} "
        f"--run={folder} --also={parent}"
    )


def live(config: Config, parent: Path) -> None:
    """Every rule and seed of a stream, side by side; what was lived before is not lived again."""
    from fusionjax.adapt import stream_table
    from fusionjax.adapt.stream import Stream
    from fusionjax.evaluate import table
    from fusionjax.evaluate.inference import seed_folders
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.train.run import audited_market
    from fusionjax.train.telemetry import CONSOLE, say

    mesh, folder = make_mesh(config.mesh), parent / "stream"
    stream = Stream(audited_market(config)[0], config, mesh, parent)
    lived: dict[str, list] = {}
    for rule in _RULES.value:
        for seed in seed_folders(parent):
            say(f"{rule}: {seed.name}")
            lived.setdefault(rule, []).append(stream.kept(rule, seed, folder))
    made = stream_table.grid(stream, lived)
    CONSOLE.print(table.screen(made))
    files.write_text(folder / f"{config.finetune.split}.md", table.text(made))
    say(f"written to {folder / config.finetune.split}.md")


if __name__ == "__main__":
    app.run(main)
