"""Explains the keys of a config, shows what one or two runs were trained with, copies one.

fusionjax config --explain=train             # or a key, steps, or a kind of modality, text
fusionjax config --config=kdd17              # what it changes of the defaults
fusionjax config --diff=runs/a --diff=runs/b
fusionjax config --config=demo --copy=mine.py    # to change it
"""

from pathlib import Path

from absl import flags

from fusionjax import app, files
from fusionjax.config import Config, changes
from fusionjax.errors import InputError, nearest

_EXPLAIN = flags.DEFINE_string("explain", None, "A section, a key or a kind of modality")
_DIFF = flags.DEFINE_multi_string("diff", [], "Two run folders: in which keys they differ")
_COPY = flags.DEFINE_string("copy", None, "Writes the file of --config there, to be changed")


def main(config: Config | None) -> None:
    if _EXPLAIN.value is not None:
        explain(_EXPLAIN.value)
    elif _DIFF.value:
        compare([Path(name) for name in _DIFF.value])
    elif config is None:
        raise InputError("give --config, --explain=SECTION or --diff=RUN twice")
    elif _COPY.value is not None:
        copy(Path(app.config_file()), Path(_COPY.value))
    else:
        print("\n".join(changes(Config(), config)) or "the defaults")


def explain(asked: str) -> None:
    from fusionjax.config.described import sections

    known = sections()
    for section in known:
        names = (section.name, section.name.rpartition(".")[2], section.name.rpartition(" ")[2])
        keys = [k for k in section.keys if asked in (k.name, k.name.rpartition(".")[2])]
        if asked in names:
            keys = list(section.keys)
            print(f"{section.name}: {section.text}\n")
        for key in keys:
            print(f"{key.name} = {key.default}\n    {key.text}")
        if asked in names:
            return
    every = [name for s in known for name in (s.name, *(k.name for k in s.keys))]
    leaves = {name.rpartition(".")[2] for name in every}
    if asked not in {*every, *leaves}:
        raise InputError(
            f"--explain={asked}: no section, key or kind{nearest(asked, [*every, *leaves])}; "
            f"sections are {', '.join(s.name for s in known if s.name and ',' not in s.name)}"
        )


def compare(runs: list[Path]) -> None:
    from fusionjax.evaluate.file_forecasts import config_of

    if len(runs) != 2:
        raise InputError(f"--diff was given {len(runs)} time(s); expected two run folders")
    was, now = map(config_of, runs)
    print("\n".join(changes(was, now)) or "trained with the same config")


def copy(source: Path, target: Path) -> None:
    if target.exists():
        raise InputError(f"--copy={target}: exists already; give another name")
    files.write_text(target, source.read_text())
    print(f"written to {target}\nnext: {app.command('train', f'--config={target}')}")
