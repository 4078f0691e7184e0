"""Runs through finetune.split session by session under update rules, from none to retraining.

python studies/stream.py --config=configs/kdd17.py --from=runs/kdd17
python studies/stream.py --config=configs/kdd17.py --from=runs/kdd17 --rule=incremental
A finished rule and seed is read from its file, not run again.
"""

from pathlib import Path

from absl import flags

from fusionjax import app, files
from fusionjax.config import Config
from studies.streams import RULES

_FROM = flags.DEFINE_string("from", None, "Run folder of the parent", required=True)
_DATA = flags.DEFINE_string("data", None, "Short for --config.data.root")
_RULES = flags.DEFINE_multi_enum("rule", list(RULES), RULES, "Update rule; repeat for more")


def main(config: Config) -> None:
    from fusionjax.evaluate import leaks, table
    from fusionjax.evaluate.inference import seed_folders
    from fusionjax.ledger import Result
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import CONSOLE, say
    from fusionjax.train.run import audited_market
    from studies.streams import stream_table
    from studies.streams.reading import question
    from studies.streams.stream import Stream

    config, parent = app.with_flags(config, {"data.root": _DATA.value}), Path(_FROM.value)
    mesh, folder = make_mesh(config.mesh), parent / "stream"
    stream = Stream(audited_market(config)[0], config, mesh, parent)
    asked = (str(parent), config, stream.market, _RULES.value, (stream.info.config,))
    reading = question(*asked, Path(app.LEDGER.value)).begin()
    results: dict[str, list] = {}
    for rule in _RULES.value:
        for seed in seed_folders(parent):
            say(f"{rule}: {seed.name}")
            results.setdefault(rule, []).append(stream.cached(rule, seed, folder))
    scores, suspect = stream_table.grid(stream, results), stream_table.alarms(stream, results)
    spent = {f"seconds of {k}": sum(x.seconds for x in each) for k, each in results.items()}
    losses = stream_table.losses(stream, results)
    reading.finish(Result(losses, spent, suspect=tuple(suspect)))
    marks = [*reading.warnings, *leaks.marks(suspect, config.evaluate.leak_alarm_override)]
    CONSOLE.print(table.screen(scores), *marks)
    text = "\n".join([*marks, table.text(scores)])
    files.write_text(folder / f"{config.finetune.split}.md", text)
    say(f"written to {folder / config.finetune.split}.md")
    leaks.require_answered(suspect, config.evaluate)


if __name__ == "__main__":
    app.run(main)
