"""The command ``fusionjax``; a script of ``launch/`` is one of its commands from a checkout."""

import ast
import importlib
import sys
from pathlib import Path

from fusionjax import __version__, app, configs
from fusionjax.errors import nearest

# What ``app.run`` is told of each; a module of this folder has its flags and its ``main``.
COMMANDS: dict[str, app.Needs] = {
    "demo": app.Needs(default="demo"),
    "import": app.Needs(config=False, files=True),
    "prepare": app.Needs(),
    "train": app.Needs(run="run", long=True, many_processes=True),
    "evaluate": app.Needs(run="run"),
    "predict": app.Needs(run="run"),
    "export": app.Needs(run="run"),
    "explain": app.Needs(run="run"),
    "report": app.Needs(run="run", config=False),
    "finetune": app.Needs(run="from", long=True),
    "serve": app.Needs(run="from", long=True),
    "track": app.Needs(config=False),
    "ablate": app.Needs(run="run"),
    "samples": app.Needs(run="run"),
    "sweep": app.Needs(long=True),
    "group": app.Needs(config=False, overrides=True, long=True),
    "runs": app.Needs(config=False, files=True),
    "plan": app.Needs(),
    "config": app.Needs(config=False),
}
_FILES = {"import": "import_market"}  # where a name cannot be a module's


def run(name: str) -> None:
    """Runs a command with the words of the command line after its name."""
    app.run(importlib.import_module(f"{__name__}.{_FILES.get(name, name)}").main, COMMANDS[name])


def main() -> None:
    """``fusionjax NAME …``; without a name, and for ``--help``, what there is."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked in COMMANDS:
        sys.argv = [f"fusionjax {asked}", *sys.argv[2:]]
        run(asked)
    elif asked in ("--help", "-h", "help"):
        print(usage())
    elif asked == "--version":
        print(f"fusionjax {__version__}")
    else:
        message = f"no command {asked!r}{nearest(asked, COMMANDS)}; fusionjax --help lists them"
        print(f"error: {message}", file=sys.stderr)
        sys.exit(app.EXIT_BAD_INPUT)


def usage() -> str:
    """All commands with the first line of what each says of itself."""
    told = []
    for name in COMMANDS:
        source = (Path(__file__).parent / f"{_FILES.get(name, name)}.py").read_text()
        first = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        told.append(f"  {name:10}{first}")
    return "\n".join(
        [
            "fusionjax COMMAND --config=CONFIG …    forecasts stocks from all that a desk sees",
            "",
            *told,
            "",
            "fusionjax COMMAND --help has its flags. CONFIG is a file, or the name of one that is",
            f"installed with fusionjax: {', '.join(configs.names())}.",
        ]
    )
