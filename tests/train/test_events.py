"""Every event has a code, and the handbook explains every code."""

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax.train import events


def test_the_handbook_explains_every_code_and_no_other() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    assert set(re.findall(r"^\| ([A-Z]\d) \|", text, re.M)) == set(events.CODES)


def test_every_code_is_told_somewhere() -> None:
    source = "".join(p.read_text() for p in (ROOT / "fusionjax").rglob("*.py"))
    told = set(re.findall(r'events\.tell\(\s*"([A-Z]\d)"', source))
    assert told == set(events.CODES)


def test_what_is_told_is_on_record_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    events.tell("N3", "by chance", tmp_path / "run", step=7)
    with (tmp_path / "run/events.jsonl").open("a") as f:
        f.write('{"code": "T1", "te')
    (row,) = events.read(tmp_path / "run")
    assert (row["code"], row["text"], row["step"]) == ("N3", "by chance", 7)
    assert events.read(tmp_path / "nowhere") == []
    with pytest.raises(AssertionError):
        events.tell("X9", "unknown")
    assert json.loads((tmp_path / "run/events.jsonl").read_text().splitlines()[0])["at"] > 0
