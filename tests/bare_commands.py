"""Commands run one after the other, each in a fork of one interpreter that imported nothing yet."""

import dataclasses
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a command ended, what it printed, and the modules it had imported by then."""

    status: int
    said: str
    modules: frozenset[str]


def answers(
    commands: Sequence[Sequence[str]], folder: Path, environment: dict[str, str]
) -> list[Answer]:
    """Runs scripts with their flags in a folder; all of them cost one interpreter's start."""
    with tempfile.TemporaryDirectory() as told:
        done = subprocess.run(
            [sys.executable, __file__, told, json.dumps([list(c) for c in commands])],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [
            Answer(
                json.loads((Path(told) / f"{i}.status").read_text()),
                (Path(told) / f"{i}.said").read_text(),
                frozenset((Path(told) / f"{i}.modules").read_text().split()),
            )
            for i in range(len(commands))
        ]


def _run(command: list[str], told: str) -> None:
    said = os.open(f"{told}.said", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.argv, sys.path[0] = command, os.path.dirname(command[0])
    status: object = 0
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as e:
        status = e.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    here = [name for name, module in sys.modules.items() if module is not None]
    Path(f"{told}.modules").write_text("\n".join(here))
    Path(f"{told}.status").write_text(json.dumps(status))


if __name__ == "__main__":
    for i, given in enumerate(json.loads(sys.argv[2])):
        child = os.fork()
        if not child:
            _run(given, f"{sys.argv[1]}/{i}")
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(child, 0)
