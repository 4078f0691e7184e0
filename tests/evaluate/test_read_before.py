"""What a pretrained encoder may have read before is said of every score and forecast."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config, resolve
from fusionjax.configs import planted_folder as planted_config
from fusionjax.data import provenance, text
from fusionjax.evaluate import labels, readings
from fusionjax.ledger import Subject
from fusionjax.train.run import open_market
from studies.data import planted, planted_folder

READ = {"text": ("a reader", "2020-02")}


def config(*names: str) -> Config:
    return small(seeing({name: TINY[name] for name in names}), Path("prepared"))


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (
            ("2020-01-03", "2020-02-29"),
            "Of the days 2020-01-03 to 2020-02-29 all of them lie inside",
        ),
        (("2020-02-29", "2020-04-01"), "2020-02-29 to 2020-04-01 those until 2020-02 lie inside"),
        (("2020-03-01", "2020-04-01"), None),
    ],
)
def test_days_inside_are_told(days: tuple[str, str], said: str | None) -> None:
    lines = provenance.read_before(READ, [config("price", "text")], days)
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]
    assert provenance.read_before(READ, [config("price")], days) == [], "it reads no text"
    assert provenance.read_before({}, [config("price", "text")], days) == []


def test_each_forecast_of_a_session_inside_names_the_encoder() -> None:
    market = dataclasses.replace(tiny_market(days=90), encoders=READ)
    records = [{"session": day, "symbol": "AA"} for day in ("2020-02-29", "2020-03-01")]
    inside, after = provenance.with_encoders(records, market, config("price", "text"))
    assert inside["read_before"] == {"text": {"encoder": "a reader", "until": "2020-02"}}
    assert after == records[1]
    assert provenance.with_encoders(records, market, config("price")) == records


def test_a_reading_warns_of_every_run_that_it_scores(tmp_path: Path) -> None:
    market = tiny_market(days=90)
    plain, reads = config("price"), config("price", "text")
    read = labels.of_days(market, np.datetime64("2020-02-01"), np.datetime64("2020-03-01"))
    subject = Subject("runs/a", "abc", (0,), "dev")
    for trained, count in (((plain,), 0), ((plain, reads), 1)):
        question = readings.Question(
            "evaluate", plain, subject, read, ("a",), trained, tmp_path / str(count), READ
        )
        lines = question.begin().warnings
        assert len(lines) == count
        assert all(line.startswith("READ BEFORE: a reader") for line in lines)


def test_the_manifest_of_a_set_with_texts_says_what_embedded_them(tmp_path: Path) -> None:
    market = planted.plant(planted.REGIMES["full"], 0)
    planted_folder.write(market, tmp_path / "market", np.arange(40))
    c = resolve(planted_config.get_config()).override(
        {"data.root": str(tmp_path / "market"), "data.prepared": str(tmp_path / "prepared")}
    )
    assert open_market(c.data).encoders == {"text": (text.ENCODER, text.DATA_CUTOFF)}
