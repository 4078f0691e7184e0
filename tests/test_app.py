"""What a command answers before it works: help, and what is wrong with its flags, at once."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bare_commands import Answer, answers
from conftest import ROOT

# Those that are commands of this form; gpu.py and its like parse their flags themselves.
COMMANDS = sorted(
    f"{folder}/{p.stem}"
    for folder in ("launch", "studies", "benchmarks")
    for p in (ROOT / folder).glob("*.py")
    if "app.run(main" in p.read_text() or folder == "launch"
)
DEMO = f"--config={ROOT / 'configs/demo.py'}"
HEAVY = frozenset(
    (
        *("numpy", "jax", "flax", "optax", "orbax", "pandas", "pyarrow", "scipy", "sklearn"),
        *("tensorflow_datasets", "grain", "arch", "matplotlib", "lightgbm", "rich", "river"),
        *("exchange_calendars", "tensorboardX", "clu", "jinja2", "plotly"),
    )
)
FEW = 300  # modules: 220 were measured; with JAX and pandas there are 2,000
BASE = "from fusionjax.configs import base\n\ndef get_config():\n    c = base.get_config()\n"
FILES = {  # of configs, each with a mistake
    "ends": "raise SystemExit(1)\n",
    "folder": "",
    "none": BASE,
    "dict": "def get_config():\n    return {'train': 3}\n",
    "syntax": "def get_config():\n    return dict(\n",
    "without": "",
    "key": BASE + "    c.train.stepz = 3\n    return c\n",
    "key2": BASE + "    c.train.what = 3\n    return c\n",
    "type": BASE + "    c.train.steps = 'four'\n    return c\n",
    "import": "import xyz_is_not_there\n",
    "kind": BASE + "    c.modalities.a = base.modality('numerik')\n    return c\n",
}
MISTAKES = [
    ("train", [DEMO, "--stepz=1"], "Unknown command line flag 'stepz'"),
    ("train", [DEMO, "more"], "unexpected argument 'more'"),
    ("train", [], "--config is missing; for example --config=demo"),
    ("train", ["--config=nosuch.py"], "nosuch.py"),
    ("train", [DEMO, "--config.train.stepz=1"], "--config: no key 'stepz'; did you mean 'steps'"),
    ("train", [DEMO, "--config.guard.spike=3"], "guard.spike is now guard.grad_norm_zscore"),
    (
        "train",
        [DEMO, "--config.guard.what=3"],
        "--config: no key 'what'; fusionjax config --explain=SECTION lists them",
    ),
    ("train", [DEMO, "--config.train.steps=many"], "steps=many.*invalid literal"),
    ("train", [DEMO, "--config.train.steps=0"], "train.steps is 0; expected at least 1"),
    ("predict", [DEMO], "^error: --run is missing; --help lists the flags"),
    (
        "train",
        ["--config=demp"],
        "demp: no such file, nor an installed config; did you mean 'demo'",
    ),
    ("train", ["--config=folder"], "folder: no such file, .*; did you mean folder.py"),
    ("train", ["--config=none.py"], "get_config returns None, no config; it may lack .* return c"),
    ("train", ["--config=dict.py"], "get_config returns {'train': 3}, no config"),
    ("train", ["--config=syntax.py"], r"^error: syntax.py: line 2: '\(' was never closed"),
    (
        "train",
        ["--config=without.py"],
        "without.py: no function get_config; fusionjax/configs/base",
    ),
    ("train", ["--config=key.py"], "key.py: line 5: no key 'stepz'; did you mean 'steps'"),
    ("train", ["--config=key2.py"], "key2.py: line 5: no key 'what'; fusionjax config --explain="),
    ("train", ["--config=type.py"], "type.py: line 5: TypeError: Could not override field 'steps'"),
    ("train", ["--config=import.py"], "import.py: line 1: ModuleNotFoundError: No module named 'x"),
    ("train", ["--config=kind.py"], "kind.py: line 5: .*'numerik'.*did you mean 'numeric'"),
    ("train", [DEMO, "--seeds=0"], "--seeds=0: 0 is not a positive integer"),
    ("report", ["--mlflow=http://x"], "--mlflow goes with --ledger, whose records it adds"),
    ("studies/stream", [DEMO, "--from=x", "--rule=sometimes"], "should be one of <never update|"),
    ("evaluate", [DEMO], "--run is missing; give the folder"),
]


def script(name: str) -> str:
    """Of ``launch/``, if no folder is given."""
    return str(ROOT / (f"{name}.py" if "/" in name else f"launch/{name}.py"))


def source(name: str) -> Path:
    """Where the flags of a command are."""
    folder, _, stem = name.partition("/")
    if folder != "launch":
        return Path(script(name))
    return ROOT / "fusionjax/commands" / f"{stem.removesuffix('_daily')}.py"


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Answer]:
    """By the command's name and its flags."""
    folder = tmp_path_factory.mktemp("answered")
    (folder / "folder").mkdir()
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    asked = [(name, "--help") for name in COMMANDS]
    asked += [("train", "--helpshort"), ("train", "--helpfull"), ("train", "--helpxml")]
    asked += [(name, *flags) for name, flags, _ in MISTAKES]
    asked += [("train", "--config=ends.py")]
    got = answers(
        [(script(name), *flags) for name, *flags in asked],
        folder,
        {**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return dict(zip(asked, got, strict=True))


def light(answer: Answer) -> None:
    """Fails where anything heavy was imported."""
    assert not HEAVY & answer.modules
    assert len(answer.modules) < FEW


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_all_flags_of_a_command(
    answered: dict[tuple[str, ...], Answer], name: str
) -> None:
    got = answered[name, "--help"]
    assert got.status == 0
    light(got)
    text = source(name).read_text()
    assert text[3 : text.index("\n")] in got.said, "what the command is for"
    own = re.findall(r'flags\.DEFINE_\w+\(\s*"([\w.]+)"', text)
    assert own or not name.startswith("launch/")
    for flag in (*own, "config", "cpu_mesh", "ledger_dir"):
        assert re.search(rf"^  --(\[no\])?{re.escape(flag)}: \S", got.said, re.MULTILINE), flag


@pytest.mark.parametrize("flag", ["--helpshort", "--helpfull", "--helpxml"])
def test_other_forms_of_help(answered: dict[tuple[str, ...], Answer], flag: str) -> None:
    got = answered["train", flag]
    assert got.status == 0
    light(got)
    assert "ledger_dir" in got.said


@pytest.mark.parametrize(("name", "flags", "message"), MISTAKES)
def test_a_mistake_in_the_flags_is_one_sentence(
    answered: dict[tuple[str, ...], Answer], name: str, flags: list[str], message: str
) -> None:
    got = answered[(name, *flags)]
    assert got.status == 2, got.said
    assert got.said.startswith("error: ")
    assert re.search(message, " ".join(got.said.split())), got.said
    assert "Traceback" not in got.said
    light(got)


def test_a_config_file_that_ends_the_process_is_no_help(
    answered: dict[tuple[str, ...], Answer],
) -> None:
    assert answered["train", "--config=ends.py"].status == 1


def test_every_config_file_is_light(tmp_path: Path) -> None:
    """It is read while flags are parsed: with a mistyped one beside it nothing heavy is needed."""
    folders = (ROOT / "fusionjax/configs", ROOT / "studies/configs")
    files = sorted(p for f in folders for p in f.glob("*.py") if p.stem != "__init__")
    got = answers(
        [(script("studies/ladder"), f"--config={p}", "--stepz=1") for p in files],
        tmp_path,
        {**os.environ, "PYTHONPATH": str(ROOT)},
    )
    for path, answer in zip(files, got, strict=True):
        assert (answer.status, "stepz" in answer.said) == (2, True), (path, answer.said)
        light(answer)


@pytest.mark.parametrize(
    ("name", "flags", "package", "extra"),
    [
        ("sweep", [], "plotly", "plots"),
        ("serve_daily", ["--from=runs/demo"], "plotly", "plots"),
        ("studies/ladder", ["--plot"], "matplotlib", "plots"),
        ("prepare", ["--workers=2"], "distributed", "cluster"),
        ("report", ["--ledger", "--mlflow=http://x"], "mlflow", "mlflow"),
        ("prepare", ["--scheduler=tcp://there:8786"], "distributed", "cluster"),
    ],
)
def test_a_missing_extra_is_named_before_any_work(
    tmp_path: Path, name: str, flags: list[str], package: str, extra: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    (got,) = answers(
        [(script(name), DEMO, *flags)],
        tmp_path,
        {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert got.status == 2
    assert got.said == (
        f'error: the package {package} is not installed: pip install "fusionjax[{extra}]"\n'
    )
    light(got)


def test_names_that_the_terminal_cannot_show_do_not_end_a_command(tmp_path: Path) -> None:
    lines = (
        "from fusionjax import app",
        "from fusionjax.telemetry import say",
        "app.run(lambda config: say('ØRSTED'), app.Needs(config=False))",
    )
    (tmp_path / "says.py").write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "says.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "\\xd8RSTED\n"), done.stderr


BUSY = """
import hashlib, sys
from fusionjax import app

def main(config):
    print("busy", flush=True)
    while True:  # each call as a compilation does: no handler of Python's runs until it returns
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[1].partition("=")[2]))

from absl import flags
flags.DEFINE_integer("rounds", 0, "")
app.run(main, app.Needs(config=False))
"""


@pytest.mark.parametrize(("rounds", "signals"), [(10**9, 2), (10**6, 1)])
def test_ctrl_c_is_answered_at_once_and_a_second_one_ends(
    tmp_path: Path, rounds: int, signals: int
) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    with subprocess.Popen(
        [sys.executable, "busy.py", f"--rounds={rounds}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "busy\n"
        time.sleep(1)  # it is by then
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopping; Ctrl-C again ends at once\n"
        if signals == 2:
            process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    again = "stopped; the same command begins again, with what it had kept\n"
    assert rest == ("" if signals == 2 else again)


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, reader: str) -> None:
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m fusionjax config --explain=train | {reader}",
        shell=True,
        executable="/bin/bash",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 141), "as the shell says it of a closed pipe"
