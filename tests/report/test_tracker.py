"""Ledger records in MLflow: all of them, once, as its own client reads them."""

import dataclasses
from pathlib import Path

import pytest
from commands import ENVIRONMENT, launch
from conftest import small

from fusionjax import ledger
from fusionjax.configs import demo
from fusionjax.errors import InputError
from fusionjax.report import tracker


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """MLflow's own store of files, which it keeps for tests such as these."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file://{tmp_path / 'mlruns'}"


def record(tmp_path: Path, run: str, **metrics: float) -> ledger.Record:
    config = small(demo.get_config(), tmp_path)
    subject = ledger.Subject(run, "f" * 64, (0, 1), "dev", "runs/parent")
    return ledger.record("evaluate", config, subject, ledger.Result(metrics, {"seconds": 60.0}))


def runs(uri: str) -> list:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name("demo")
    assert found is not None
    return list(client.search_runs([found.experiment_id], order_by=["start_time"]))


def test_a_record_is_a_run_with_its_settings_scores_and_cost(tmp_path: Path, store: str) -> None:
    name = "volatility MSE, 5d (log²)"  # with characters that MLflow takes in no name
    one = record(tmp_path, "runs/a", **{name: 0.25, "direction MCC": float("nan")})
    assert tracker.export([one], store) == 1
    (run,) = runs(store)
    assert run.info.run_name == "runs/a"
    assert run.data.metrics == {"volatility MSE_ 5d _log²_": 0.25, "cost seconds": 60}
    assert run.data.params["train.steps"] == "6"
    assert len(run.data.params) == len(one.config) > 100, "more than the API takes at once"
    told = {k: run.data.tags[k] for k in ("fusionjax.id", "kind", "seeds", "parent")}
    assert told == {
        "fusionjax.id": one.id, "kind": "evaluate", "seeds": "0, 1", "parent": "runs/parent"
    }  # fmt: skip
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 60_000


def test_what_is_there_is_not_added_again_and_what_was_cut_short_is(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [record(tmp_path, f"runs/{k}") for k in "abc"]
    from mlflow.tracking import MlflowClient

    ended = MlflowClient.set_terminated
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tracker.export(records, store)
    monkeypatch.setattr(MlflowClient, "set_terminated", ended)
    assert tracker.export(records, store) == 3
    assert tracker.export(records, store) == 0
    whole = {r.info.run_name for r in runs(store) if r.info.status == "FINISHED"}
    assert whole == {"runs/a", "runs/b", "runs/c"}


def test_a_record_that_was_begun_waits(tmp_path: Path, store: str) -> None:
    begun = dataclasses.replace(record(tmp_path, "runs/a"), finished=False)
    assert tracker.export([begun], store) == 0


def test_a_server_that_cannot_be_had_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--mlflow=nowhere://x: .+"):
        tracker.export([record(tmp_path, "runs/a")], "nowhere://x")


def test_the_command_says_how_many(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "MLFLOW_ALLOW_FILE_STORE", "true")
    ledger.append(tmp_path / "runs/ledger", record(tmp_path, "runs/a"))
    said = launch(tmp_path, "report", None, "--ledger", f"--mlflow={store}")
    assert f"1 records added to {store}" in said
