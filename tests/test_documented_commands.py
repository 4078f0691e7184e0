"""Every command in README, docs and config headers is one that exists, with flags that it knows."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax import configs, ledger
from fusionjax.commands import _FILES, COMMANDS
from studies.configs import planted
from studies.schema import StudyConfig

TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "fusionjax/configs").glob("*.py"),
    *(ROOT / "studies").glob("**/*.py"),
    *(ROOT / "benchmarks").glob("*.py"),
    *(ROOT / "launch").glob("**/*.sbatch"),
]
# A command and its words, to the end of the line or of the code between backticks.
COMMAND = re.compile(
    r"(?:^|[\s`(])((?:fusionjax|python (?:studies|benchmarks|launch)/\w+\.py)[^`\n]*)"
)
FLAG = re.compile(r"""(?:flags\.DEFINE_\w+\(\s*|add_argument\(\s*["']--)["']?([\w.]+)["']""")
ALWAYS = {"help", "version"}
# Dotted; below some, such as data.splits and modalities, names are the user's.
KEYS = {
    "modalities",
    "data.splits",
    "sweep.space",
    *ledger.flat(StudyConfig.of(planted.get_config())),
}


def flags_of(script: Path) -> set[str]:
    """Names of the flags that a script defines."""
    return set(FLAG.findall(script.read_text()))


COMMON = flags_of(ROOT / "fusionjax/app.py") | {"config"} | ALWAYS


def script_of(words: list[str]) -> Path | None:
    """The file behind a command; None for prose such as "fusionjax reads"."""
    if words[0] == "python":
        path = ROOT / words[1]
        assert path.is_file(), words
        if words[1].startswith("launch/"):
            name = {"serve_daily": "serve"}.get(path.stem, path.stem)
            return ROOT / f"fusionjax/commands/{_FILES.get(name, name)}.py"
        return path
    name = words[1] if len(words) > 1 else ""
    if name not in COMMANDS:
        assert words[1:] == ["--help"] or not any(w.startswith("--") for w in words), words
        return None
    return ROOT / f"fusionjax/commands/{_FILES.get(name, name)}.py"


def found() -> list[tuple[str, list[str]]]:
    """Commands by file and line."""
    commands = []
    for text in TEXTS:
        lines = text.read_text().replace("\\\n", " ").splitlines()
        for line in lines:
            for asked in COMMAND.findall(line):
                bare = re.split(r"\s#|\s{2,}\(|;|&&| > | & |→|, then|…|\| ", asked)[0]
                try:
                    words = shlex.split(bare.replace("\\$", ""), comments=True)
                except ValueError:
                    continue  # an apostrophe: prose
                if len(words) > 1:
                    commands.append((text.name, words))
    return commands


def test_there_are_many() -> None:
    assert len(found()) > 150


@pytest.mark.parametrize("place", sorted({name for name, _ in found()}))
def test_each_command_exists_and_knows_its_flags(place: str) -> None:
    for name, words in found():
        if name != place or (script := script_of(words)) is None:
            continue
        known = COMMON | flags_of(script)
        for word in words:
            if not word.startswith("--"):
                continue
            flag, _, value = word[2:].partition("=")
            flag = flag.rstrip(".,):")
            if flag.startswith("config."):
                key = flag.removeprefix("config.")
                assert any(key == k or key.startswith(f"{k}.") for k in KEYS), (place, words)
                continue
            assert flag in known or flag.removeprefix("no") in known, (place, words)
            if flag == "config" and re.fullmatch(r"[a-z]\w*", value):
                assert value in configs.names(), (place, words)
