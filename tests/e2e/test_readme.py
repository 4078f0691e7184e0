"""README's blocks run as they stand, in a shell; what cannot is listed with the reason."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from arch.data import sp500
from commands import ENVIRONMENT
from conftest import ROOT
from yahoo import downloads

FENCED = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
# By what a block begins with: the blocks of a story, one after the other in one folder.
STORIES = {
    "downloads": ["make demo"],
    "demo": ["fusionjax train    --config=demo", "import fusionjax", "fusionjax evaluate --config"],
    "planted": ["C=--config=planted_folder"],
    "cluster": ["make plan"],
}
PICTURES = ["raw files ──", "market/bars.parquet (or .csv)"]
# By what a line begins with.
_ACL18 = "some 100,000 tweets are embedded first, which takes ten minutes of two cores"
_STUDY = "hours at full size; tests/studies runs it with fewer samples and steps"
LEFT_OUT = {
    "make demo ": "installs 2 GB; the command line below does the same with what is installed",
    "source .venv/": "what make demo installs",
    "make plan ": "installs a compiler for GPUs, 7 GB; make nightly runs it",
    "sbatch ": "needs a cluster; tests/e2e/test_cluster_files.py reads the file",
    "fusionjax prepare  --config=acl18 ": _ACL18,
    "fusionjax train    --config=acl18 ": _ACL18,
    "fusionjax evaluate --run=runs/acl18 ": _ACL18,
    "fusionjax train    --config=acl18_stream": _ACL18,
    "fusionjax finetune --from=runs/acl18_stream": _ACL18,
    "fusionjax evaluate --run=runs/acl18_stream_finetuned": _ACL18,
    "python studies/ladder.py": _STUDY,
    "python studies/ground_truth.py": _STUDY,
}
# A file of a config's name comes before the installed config: the same with a small model.
SMALL = "c.model.width, c.model.layers, c.model.heads = 16, 1, 2"
FEW = "c.train.steps, c.train.warmup_steps, c.train.global_batch_size = 4, 2, 64"
FOLD = "c.selection.folds = 1"


def shorter(path: Path, *lines: str) -> str:
    """A shell command that adds lines to a config's end."""
    return f"sed -i 's/^    return c$/    {'; '.join(lines)}; return c/' {path}"


def own(name: str, *lines: str) -> str:
    """A shell command that puts a shorter config into the folder."""
    return f"cp {ROOT}/fusionjax/configs/{name}.py {name}\n{shorter(Path(name), *lines)}"


# What a user does before a line.
BEFORE = {
    "fusionjax train --config=market.py": shorter(Path("market.py"), SMALL, FEW),
    "fusionjax train    --config=demo": own("demo", SMALL, FEW, FOLD),
    "C=--config=planted_folder": own("planted_folder", SMALL, FEW, FOLD),
}


def lines_of(block: str) -> list[str]:
    """The commands of a block."""
    whole = block.replace("\\\n", " ").splitlines()
    return [line for line in whole if line and not line.startswith("#")]


def left_out(line: str) -> bool:
    return line.startswith(tuple(LEFT_OUT))


def script(story: str) -> str:
    """A shell script of a story's blocks."""
    said = []
    for beginning in STORIES[story]:
        ((language, block),) = [(x, b) for x, b in FENCED if b.startswith(beginning)]
        if language == "python":
            said.append(f"python - <<'END'\n{block}END")
            continue
        for line in lines_of(block):
            if not left_out(line):
                said += [c for start, c in BEFORE.items() if line.startswith(start)] + [line]
    return "\n".join(said)


def run(story: str, folder: Path) -> str:
    """Runs a story; returns what it printed."""
    (folder / "studies").symlink_to(ROOT / "studies")
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script(story)],
        cwd=folder,
        env=ENVIRONMENT | {"PATH": found, "XDG_STATE_HOME": str(folder / ".state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_each_line_runs_or_is_listed_with_the_reason() -> None:
    in_story = tuple(beginning for blocks in STORIES.values() for beginning in blocks)
    listed = set()
    for _, block in FENCED:
        if block.startswith(tuple(PICTURES)):
            assert not re.search(r"^\s*(fusionjax|python|make|pip|\w+=) ", block, re.MULTILINE)
            continue
        for line in lines_of(block):
            assert left_out(line) or block.startswith(in_story), f"nothing runs this: {line}"
            listed |= {start for start in LEFT_OUT if line.startswith(start)}
    assert listed == set(LEFT_OUT), "all of them are in README"
    for beginning in (*in_story, *PICTURES):
        assert sum(b.startswith(beginning) for _, b in FENCED) == 1, beginning
    scripts = "\n".join(script(story) for story in STORIES)
    assert all(f"\n{command}\n" in f"\n{scripts}" for command in BEFORE.values())


@pytest.mark.slow
def test_downloads(tmp_path: Path) -> None:
    downloads(tmp_path / "downloads")
    assert "next: fusionjax evaluate --run=runs/market\n" in run("downloads", tmp_path)
    assert (tmp_path / "runs/market/seed_4/checkpoints/4").is_dir()


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    days = sp500.load()["2016-12-30":"2018-12-28"].index.strftime("%Y-%m-%d")
    theirs = {"symbol": "SPX", "decision_time": days, "horizon": 1, "probability_up": 0.55}
    pd.DataFrame(theirs).to_csv(tmp_path / "theirs.csv", index=False)
    said = run("demo", tmp_path)
    assert said.count('"session": "2018-06-29"') == 2
    assert "<!doctype html>" in (tmp_path / "runs/demo/report_dev.html").read_text().lower()
    assert (tmp_path / "runs/demo/scores_late.json").exists()
    assert "| theirs | " in (tmp_path / "runs/demo/scores_dev.md").read_text()


@pytest.mark.nightly
def test_a_planted_market_of_files(tmp_path: Path) -> None:
    assert "written to planted_market" in run("planted", tmp_path)
    table = (tmp_path / "runs/planted_folder/scores_dev.md").read_text()
    assert "| runs/planted_folder" in table


@pytest.mark.nightly
def test_the_clusters_config_rehearsed(tmp_path: Path) -> None:
    said = run("cluster", tmp_path)
    assert "mesh data 8 × fsdp 8 × tensor 1" in said
    rows = (tmp_path / "runs/h100_64_cpu_mesh/seed_0/metrics.jsonl").read_text().splitlines()
    assert len(rows) == 20
    loss = [json.loads(row)["loss"] for row in rows]
    assert sum(loss[-5:]) < sum(loss[:5])
