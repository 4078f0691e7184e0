"""The house's rules: imports go one way, the product stands alone, the core stays light."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import fusionjax

PACKAGE = ROOT / "fusionjax"
# What a room may import of the others; itself and what is listed.
ALLOWED = {
    "errors": set(),
    "files": set(),
    "requirements": {"errors"},
    "registry": {"errors"},
    "chain": {"errors", "files"},
    "ledger": {"chain", "config", "errors", "registry"},
    "config": {"errors", "registry"},
    "streams": set(),
    "telemetry": {"parallel"},
    "types": set(),
    "parallel": {"config", "errors", "streams"},
    "models": {"config", "errors", "types", "parallel", "registry"},
    "distill": {"config", "types", "streams", "registry"},
    "data": {  # models: the frozen text encoder
        *("config", "errors", "files", "types", "streams", "models", "registry"),
    },
    "imports": {"errors", "files", "data"},
    # Nobody imports these by name but the page, what their pictures are.
    "modalities": {"config", "errors", "types", "models", "data", "registry"},
    "scores": {"config", "errors"},
    # As modalities: who asks a head has it from ``config.targets``, and knows its base at most.
    "heads": {"config", "errors", "types", "data", "registry", "scores"},
    # Below experts and evaluate: a file of forecasts is weighed as an expert, or scored as a run.
    "forecast_files": {"config", "errors", "data", "heads"},
    # Simple models: below train, as the fusion starts from what they forecast.
    "experts": {
        *("config", "errors", "files", "types", "parallel", "data", "registry", "scores", "heads"),
        *("telemetry", "forecast_files"),
    },
    "train": {
        *("config", "errors", "files", "types", "parallel", "models", "distill", "data"),
        *("registry", "streams", "experts", "telemetry"),
    },
    "artifact": {"errors"},  # needs jax and numpy alone
    "evaluate": {
        *("config", "errors", "files", "types", "parallel", "models", "distill", "data", "train"),
        *("chain", "ledger", "registry", "scores", "heads", "streams", "experts", "telemetry"),
        *("forecast_files", "artifact", "__version__"),
    },
    "adapt": {  # above evaluate, whose losses and intervals its gate judges by
        *("config", "errors", "files", "types", "parallel", "models", "distill", "data", "train"),
        *("evaluate", "ledger", "scores", "streams", "experts", "telemetry", "heads", "chain"),
    },
    "report": {
        *("config", "errors", "files", "types", "models", "data", "evaluate", "ledger", "train"),
        *("modalities", "scores", "experts", "telemetry"),
    },
    "runs": {  # all that a run folder holds, and who needs it
        *("config", "data", "errors", "evaluate", "files", "ledger", "registry", "train"),
        *("adapt", "parallel", "report", "telemetry"),
    },
    "notify": {"errors"},
    "app": {"config", "configs", "errors", "notify", "parallel", "requirements", "evaluate"},
    # Settings and the edge: nobody imports them but one another.
    "configs": {"config", "data", "errors"},
    "api": {
        *("config", "configs", "errors", "parallel", "data", "train", "evaluate", "adapt"),
        *("report", "ledger", "telemetry"),
    },
    "commands": {
        *("api", "app", "config", "configs", "errors", "files", "parallel", "data", "train"),
        *("evaluate", "adapt", "report", "ledger", "telemetry", "forecast_files", "__version__"),
        *("imports", "runs"),
    },
    "__main__": {"commands"},
}
# A library that lives in one place only.
HOME = {
    "tensorflow_datasets": "data",
    "grain": "data",
    "dask": "data/cluster.py",
    "distributed": "data/cluster.py",
    "orbax": "train/checkpoint.py",
    "lightgbm": "experts/learners.py",
    "sklearn": "experts/learners.py",
    "tensorboardX": "train/hooks/metrics.py",
    "clu": "train",
    "absl": ("app.py", "commands"),
    "ml_collections": ("app.py", "config/__init__.py", "config/file.py", "configs"),
    "pandas": (
        *("data", "scores", "heads", "forecast_files", "evaluate", "report", "ledger.py"),
        *("imports", "api.py", "commands", "runs"),
    ),
    "plotly": "report/charts.py",
    "river": "adapt/drift.py",
    "arch": ("data", "heads/volatility_baselines.py", "adapt/cusum.py"),
    "jinja2": "report",
}
IMPURE = {"absl", "clu", "os", "pathlib", "time", "random", "rich", "orbax", "grain"}
FILES = sorted(PACKAGE.rglob("*.py"))
# What stands beside the package and imports it.
BESIDE = {"studies", "benchmarks"}
OUTSIDE = sorted(
    p for folder in ("studies", "benchmarks/measures") for p in (ROOT / folder).rglob("*.py")
)
imports = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))["imports"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    where = str(path.relative_to(PACKAGE))
    room = where.split("/")[0].removesuffix(".py")
    if room == "__init__":
        return
    for name in imports(path):
        first, *rest = name.split(".")
        assert first not in {"configs", "launch", *BESIDE}, f"{where}: the product stands alone"
        if first == "fusionjax" and rest:
            assert rest[0] in ALLOWED[room] | {room}, f"{where} may not import {name}"
        if first in HOME:
            homes = HOME[first] if isinstance(HOME[first], tuple) else (HOME[first],)
            assert where.startswith(homes), f"{first} lives in {HOME[first]}, not in {where}"
        if room in ("models", "distill"):
            assert first not in IMPURE, f"{where} must stay pure, it imports {name}"


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda p: str(p.relative_to(ROOT)))
def test_studies_and_benchmarks_know_the_product_and_not_each_other(path: Path) -> None:
    others = {"launch", "tests", *BESIDE} - {path.relative_to(ROOT).parts[0]}
    assert not {name.split(".")[0] for name in imports(path)} & others


def test_commands_and_configs_of_the_product_need_no_study() -> None:
    for path in [p for d in ("launch", "configs") for p in (ROOT / d).glob("*.py")]:
        assert not {name.split(".")[0] for name in imports(path)} & BESIDE, path


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, fusionjax; sys.exit('jax' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    for name in fusionjax.__all__:
        assert getattr(fusionjax, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        fusionjax.lode  # noqa: B018


def test_the_core_imports_neither_tensorflow_nor_torch() -> None:
    code = (
        "import sys, fusionjax.train.run, fusionjax.evaluate.table, fusionjax.adapt.finetune; "
        "heavy = {'tensorflow', 'torch', 'transformers', 'sentence_transformers'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [*FILES, *OUTSIDE], ids=lambda p: str(p.relative_to(ROOT)))
def test_public_names_are_documented_and_nothing_is_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name != "__init__.py" or path.parent == PACKAGE:
        assert ast.get_docstring(tree), "a room says in its first line what it is for"
    assert "pickle" not in {n.split(".")[0] for n in imports(path)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            inner = isinstance(node, ast.FunctionDef) and node not in tree.body
            # By the file's first line.
            told = node.name in ("main", "get_config") or path.parent.name == "commands"
            public = not (inner or told) and len(node.body) > 1 and path.name != "sections.py"
            assert not public or ast.get_docstring(node), f"{path}: {node.name} has no docstring"


def test_entry_points_stay_short() -> None:
    # Each function of which has its own imports.
    commands = PACKAGE / "commands"
    for path in [*commands.glob("*.py"), *(ROOT / "studies").glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 90, path
