"""Every command of docs/handbook.md runs as it is written, in its order, on planted downloads."""

import re
import shlex
from pathlib import Path

import pytest
from commands import SMALL, launch
from conftest import ROOT
from yahoo import downloads

HANDBOOK = (ROOT / "docs/handbook.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", HANDBOOK, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("fusionjax ") and "--help" not in line
]
# A test's model is small; nothing else of a command is changed.
SHORT = {"train": [*SMALL, "--config.train.steps=4"], "serve": ["--config.finetune.steps=2"]}
MODULES = {"import": "import_market", "serve": "serve_daily"}  # of launch/


@pytest.mark.slow
def test_the_handbook_from_downloads_to_a_forecast(tmp_path: Path) -> None:
    downloads(tmp_path / "downloads")
    assert [c.split()[1] for c in COMMANDS] == [
        *("import", "train", "evaluate", "report", "predict", "config", "config", "serve")
    ]
    said = {}
    for command in COMMANDS:
        name, *words = shlex.split(command)[1:]
        words = ["--seeds=2" if w == "--seeds=5" else w for w in words]
        said[name] = launch(
            tmp_path, MODULES.get(name, name), None, *words, *SHORT.get(name, []), status=0
        )
    assert "AAA" in said["predict"]
    assert (tmp_path / "runs/market/report_dev.html").exists()
    (code,) = [block for language, block in BLOCKS if language == "python"]
    (tmp_path / "in_python.py").write_text(code)
    assert "AAA" in launch(tmp_path, str(tmp_path / "in_python"), None)


def test_words_in_italics_are_in_the_glossary() -> None:
    text, glossary = HANDBOOK.split("## Glossary")
    terms = {t.strip() for row in re.findall(r"^\| ([a-z, ]+) \|", glossary, re.MULTILINE)
             for t in row.split(",")}  # fmt: skip
    marked = {m.rstrip("s") for m in re.findall(r"(?<!\*)\*([a-z]+)\*(?!\*)", text)} - {"italic"}
    assert marked, "the words that a newcomer cannot know"
    assert marked <= terms


def test_its_links_and_configs_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)", HANDBOOK):
        assert (ROOT / "docs" / target).exists(), target
    for name in re.findall(r"--config=(\w+)\b(?!\.)", HANDBOOK):
        assert name == "CONFIG" or (ROOT / f"fusionjax/configs/{name}.py").exists(), name
