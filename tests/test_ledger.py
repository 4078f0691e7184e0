"""The ledger: written by many at once, read in order, and a hold-out that is read once."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs import demo
from fusionjax import ledger
from fusionjax.config import Config, resolve
from fusionjax.errors import InputError


def entry(
    config: Config, run: str = "runs/a", split: str = "dev", **changes: object
) -> ledger.Record:
    made = ledger.record(
        "evaluate",
        config,
        ledger.Subject(run, "abc", (0, 1), split),
        ledger.Result({"direction: MCC": 0.1}, {"seconds": 1.0}, {"2020-01-02": 0.01}),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def config() -> Config:
    return resolve(demo.get_config())


def test_what_is_written_is_read(config: Config, tmp_path: Path) -> None:
    made = entry(config)
    ledger.append(tmp_path, made)
    assert ledger.read(tmp_path) == [made]
    assert made.config["train.steps"] == config.train.steps
    assert made.split == ("dev", *config.data.splits["dev"])
    assert made.code


def test_many_writers_lose_nothing(config: Config, tmp_path: Path) -> None:
    made = [entry(config, run=f"runs/{i}") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda r: ledger.append(tmp_path, r), made))
    assert {r.run for r in ledger.read(tmp_path)} == {r.run for r in made}
    assert not list(tmp_path.glob("*.tmp"))


def test_records_come_in_the_order_of_time(config: Config, tmp_path: Path) -> None:
    made = [entry(config, run=f"runs/{i}") for i in range(5)]
    for one in reversed(made):
        ledger.append(tmp_path, one)
    assert [r.run for r in ledger.read(tmp_path)] == [r.run for r in made]


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "x"}', "\xff"])
def test_a_stranger_among_the_records_is_named(config: Config, tmp_path: Path, text: str) -> None:
    ledger.append(tmp_path, entry(config))
    (tmp_path / "20200101.json").write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=r"20200101.json: is not a ledger record .* move it out"):
        ledger.read(tmp_path)


def test_a_hold_out_is_read_once(config: Config, tmp_path: Path) -> None:
    locked = config.override({"evaluate.locked": ("dev",)})
    ledger.require_unread([], locked, "dev")
    ledger.append(tmp_path, entry(config, run="runs/first"))
    records = ledger.read(tmp_path)
    ledger.require_unread(records, config, "dev")  # nobody locked it
    with pytest.raises(InputError, match=r"locked names dev: .* read once, .*runs/first, 1 time"):
        ledger.require_unread(records, locked, "dev")
    # Another period, or another source, is another hold-out.
    splits = {**config.data.splits, "dev": ("2016-01-04", "2016-12-30")}
    elsewhere = dataclasses.replace(locked, data=dataclasses.replace(locked.data, splits=splits))
    ledger.require_unread(records, elsewhere, "dev")
    ledger.require_unread(records, locked.override({"data.source": "folder"}), "dev")
    # A training on it is no reading of it.
    ledger.require_unread([entry(config, kind="train")], locked, "dev")


def test_differences_name_the_keys_that_differ(config: Config) -> None:
    records = [entry(config), entry(config.override({"train.steps": 7, "model.width": 8}))]
    assert ledger.differences(records) == {
        "model.width": [config.model.width, 8],
        "train.steps": [config.train.steps, 7],
    }


def test_records_are_plain_json(config: Config, tmp_path: Path) -> None:
    made = entry(config)
    ledger.append(tmp_path, made)
    raw = json.loads((tmp_path / f"{made.id}.json").read_text())
    assert raw["config"]["data.source"] == "sp500"
    assert raw["forced"] is False
