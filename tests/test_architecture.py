"""The picture of the architecture is that of the code."""

import runpy
from pathlib import Path

from conftest import ROOT

DRAWN = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))


def test_the_picture_is_todays() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert DRAWN["page"]() == page, "run python docs/draw_architecture.py"


def test_what_a_chain_says_is_not_drawn_again() -> None:
    needs = {"top": {"middle", "low"}, "middle": {"low"}, "low": set()}
    assert DRAWN["reduced"](needs) == {"top": {"middle"}, "middle": {"low"}, "low": set()}


def test_a_package_is_a_folder_or_a_file(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    (package / "till").mkdir(parents=True)
    (package / "till" / "count.py").write_text("from shop.money import coins\nimport shop.door\n")
    (package / "money.py").write_text("import json\n")
    (package / "door.py").write_text("from shop import money\n")
    assert DRAWN["packages"](package) == {
        "door": {"money"},
        "money": set(),
        "till": {"door", "money"},
    }
