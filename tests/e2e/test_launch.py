"""The commands as a person types them: the whole flow, and what every mistake is answered with."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from arch.data import sp500
from bare_commands import answers
from browser import looked_at, opened
from commands import ENVIRONMENT, SMALL, arguments, launch
from conftest import ROOT

from fusionjax import ledger
from fusionjax.report.glossary import TERMS


def command(*given: str) -> list[str]:
    return [sys.executable, *arguments(*given)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one story happens: two seeds are trained on the demo, then used."""
    folder = tmp_path_factory.mktemp("story")
    said = launch(folder, "train", "demo", *SMALL, "--config.train.steps=4", "--seeds=2")
    assert re.search(r"demo: 4,523 samples of 1 symbol.*mesh data 1 × fsdp 1 × tensor 1", said)
    assert "run folder: runs/demo" in said
    assert re.search(r"next: python \S*launch/evaluate.py --run=runs/demo\n", said)
    return folder


@pytest.mark.slow
def test_the_run_is_scored_beside_its_baselines(folder: Path) -> None:
    said = launch(folder, "evaluate", "demo", "--run=runs/demo")
    table = (folder / "runs/demo/scores_dev.md").read_text()
    for baseline in (
        "majority",
        "momentum",
        "reversal of the stock's",
        "reversal of the market's",
        "logistic regression",
        "LightGBM",
        "persistence",
        "historical",
        "ridge",
        "always up",
        "GARCH",
        "EWMA",
        "seasonal: by weekday",
        "historical quantiles, scaled",
    ):
        assert f"| {baseline}" in table
    assert "2017-01-03 to 2018-12-31" in said
    assert "IN SAMPLE" not in said
    scores = json.loads((folder / "runs/demo/scores_dev.json").read_text())
    direction, returns, later, volatility = scores["tables"]
    assert [t["samples"] for t in scores["tables"]] == [502, 502, 498, 498]
    assert [t["variant"] for t in scores["tables"]] == ["", "", "5d", ""]
    har = {
        r["name"]: round(r["values"]["MSE"], 3) for r in volatility["rows"] if "HAR" in r["name"]
    }
    assert har["HAR"] == 0.295, "as measured without fusionjax"
    assert har["Log-HAR, Parkinson range"] == 0.249
    assert "baselines of volatility 5d" in said, "progress"
    assert direction["rows"][1]["over_seeds"], "two seeds have a spread"
    for row in direction["rows"] + returns["rows"] + later["rows"] + volatility["rows"]:
        for name, (low, high) in row["spread"].items():
            assert low <= row["values"][name] <= high


@pytest.mark.slow
def test_forecasts_of_a_file_are_scored_alone_and_beside_a_run(folder: Path) -> None:
    days = pd.bdate_range("2017-12-29", "2018-12-28").strftime("%Y-%m-%d")
    known = sp500.load().index.strftime("%Y-%m-%d")
    table = pd.DataFrame({"symbol": "SPX", "decision_time": days[days.isin(known)], "horizon": 1})
    table.assign(probability_up=0.55).to_csv(folder / "theirs.csv", index=False)
    flags = [
        "--split=late",
        "--config.selection.folds=1",
        "--forecasts=theirs.csv",
    ]
    said = launch(folder, "evaluate", "demo", *flags, "--trained_until=2016-12-31")
    assert "theirs: late 2018-01-02 to 2018-12-31" in said
    written = (folder / "runs/forecasts/theirs/scores_late.md").read_text()
    assert "| theirs, calibrated | " in written
    assert "volatility" not in written, "the file has none"
    flag = "--run=runs/forecasts/theirs"
    assert "report_late.html" in launch(folder, "report", "demo", flag, "--split=late")
    launch(folder, "evaluate", "demo", *flags, "--run=runs/demo")
    beside = (folder / "runs/demo/scores_late.md").read_text()
    assert "| theirs | " in beside
    assert "theirs has no forecast of volatility at 5 sessions: it is not in that table" in beside


def test_forecasts_with_and_without_a_modality(folder: Path) -> None:
    flags = ["--run=runs/demo", "--symbol=SPX", "--at=2018-06-29,2018-07-02T12:00"]
    launch(folder, "predict", "demo", *flags, "--without=vix", "--out=out/f.csv")
    rows = list(csv.DictReader((folder / "out/f.csv").read_text().splitlines()))
    # At noon of July 2nd the last decision was still Friday's.
    assert [r["session"] for r in rows] == ["2018-06-29", "2018-06-29"]
    assert float(rows[0]["modality_weight.vix"]) == 0
    said = launch(folder, "predict", "demo", *flags, "--out=out/f.json")
    record = json.loads((folder / "out/f.json").read_text())[0]
    assert json.loads(said[said.index("[") : said.rindex("]") + 1])[0] == record
    assert record["decision_time"] == "2018-06-29 20:30:00Z"
    assert record["forecast_day"] == {"1d": "2018-07-02", "5d": "2018-07-09"}, "a Friday's"
    assert abs(sum(record["direction"]["1d"].values()) - 1) < 1e-5
    quantiles = list(record["return_quantiles"]["5d"].values())
    assert quantiles == sorted(quantiles)
    assert 0 < record["daily_volatility"]["5d"] < 0.1
    weight = record["modality_weight"]
    assert set(weight) == {"price", "vix", "chart"}
    assert max(weight.values()) > 0, "at least one is kept"
    week = record["calibrated"]["interval_5d"]
    sure = record["calibrated"]["interval_1d"]
    assert week["high"] - week["low"] > sure["high"] - sure["low"]
    assert sure["level"] == 0.9
    assert sure["low"] < 0 < sure["high"]
    assert record["call"] in ("down", "up")
    # What is asked for beside it, and later, changes nothing: no label is used before its time.
    shy = ["--run=runs/demo", "--symbol=SPX", "--config.evaluate.abstain_below=0.99"]
    launch(folder, "predict", "demo", *shy, "--at=2018-06-29,2018-12-31", "--out=out/g.json")
    again, last = json.loads((folder / "out/g.json").read_text())
    assert again | {"call": record["call"]} == record
    assert last["forecast_day"] == {"1d": "2019-01-02", "5d": "2019-01-08"}, "by the calendar"
    assert again["call"] == last["call"] == "abstain"
    assert last["calibrated"]["interval_1d"]["high"] > sure["high"], "December 2018 was wild"


@pytest.mark.slow
def test_a_training_and_a_forecast_import_what_they_need(folder: Path, tmp_path: Path) -> None:
    flags = [*SMALL, "--config.train.steps=4"]
    one = ["--run=runs/demo", "--symbol=SPX", "--at=2018-06-29"]
    shutil.copytree(folder / "prepared", tmp_path / "prepared")
    train, predict, first = answers(
        [
            command("train", "demo", *flags)[1:],
            command("predict", "demo", *one)[1:],
            command("prepare", "demo", "--config.data.prepared=new")[1:],
        ],
        tmp_path,
        ENVIRONMENT,
    )
    assert [x.status for x in (train, predict, first)] == [0, 0, 0], (train.said, predict.said)
    for got in (train, predict, first):
        assert not {"river", "plotly"} & got.modules
    # Only a training fits experts; a forecast reads what they learned, of trees by LightGBM,
    # which imports scikit-learn.
    for got in (predict, first):
        assert not {"arch", "matplotlib", "clu", "tensorboardX"} & got.modules
    assert not {"lightgbm", "sklearn"} & first.modules
    assert not {"exchange_calendars"} & predict.modules  # a training audits on the calendar
    # Measured: 3,095; a training 3,532.
    assert len(predict.modules) < 3200


def test_a_signal_saves_and_the_same_command_goes_on(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(folder / "prepared", tmp_path / "prepared")
    flags = [*SMALL, "--config.train.steps=1000000"]
    reached = []
    for _ in range(2):
        with subprocess.Popen(
            command("train", "demo", *flags),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            log = tmp_path / "runs/demo/seed_0/metrics.jsonl"
            before = log.stat().st_size if log.exists() else 0
            deadline = time.monotonic() + 120
            while not (log.exists() and log.stat().st_size > before + 2000):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=180)
        assert process.returncode == 75, said
        match = re.search(r"stopped at step (\d+) of 1000000; the state is saved", said)
        assert match, said
        reached.append(int(match[1]))
        if len(reached) == 2:
            assert f"going on from step {reached[0]}" in said
    assert reached[1] > reached[0]


_COUNTING = """
import runpy, sys
from fusionjax.parallel import compile_cache
use, heard = compile_cache.use, []
def counted(root):
    use(root)
    import jax
    jax.monitoring.register_event_listener(lambda name, **_: heard.append(name))
compile_cache.use = counted
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    asked, found = (
        heard.count(f"/jax/compilation_cache/{name}")
        for name in ("compile_requests_use_cache", "cache_hits")
    )
    print(f"{asked} programs, {asked - found} compiled")
"""


@pytest.mark.slow
def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    """Two trainings from the first step on, in two folders: programs lie beside them."""
    own = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("JAX_")}
    flags = [*SMALL, "--config.train.steps=4"]
    compiled = []
    for workdir in ("--workdir=runs/first", "--workdir=runs/second"):
        done = subprocess.run(
            [sys.executable, "-c", _COUNTING, *arguments("train", "demo", *flags, workdir)],
            cwd=tmp_path,
            env=own,
            capture_output=True,
            text=True,
            check=True,
        )
        told = re.search(r"(\d+) programs, (\d+) compiled", done.stdout)
        assert told, done.stdout
        assert int(told[1]) > 3
        compiled.append(int(told[2]))
    assert compiled[0] > 3
    assert compiled[1] == 0
    assert len(list(tmp_path.glob("runs/compiled/jaxlib-*/*-cache"))) >= compiled[0]


@pytest.mark.parametrize(
    ("script", "config", "flags", "message"),
    [
        ("train", "h100_64", [], "= 64 devices; found 1 CPU device.*rehearse .* with --cpu_mesh"),
        ("train", "demo", ["--config.train.stepz=1"], "no key 'stepz'; did you mean 'steps'"),
        ("train", "demo", ["--config.train.steps=many"], "steps=many.*invalid literal"),
        ("train", "nosuch", [], "nosuch.py"),
        ("train", "demo", ["--stepz=1"], "Unknown command line flag 'stepz'"),
        ("train", "demo", ["more"], "unexpected argument 'more'"),
        ("train", "demo", ["--config.mesh.data=4", "--workdir=new"], "= 4 devices; found 1 CPU"),
        ("train", "demo", ["--config.mesh.fsdp=3", "--cpu_mesh"], "found 8 CPU device"),
        ("train", "demo", ["--config.evaluate.market_channel=dax", "--workdir=new"],
         "config.evaluate.market_channel: channel 'dax' is not in the prepared data; it has"),
        ("evaluate", "demo", [], "--run is missing; give the folder"),
        ("evaluate", "demo", ["--run=nowhere"], "nowhere: no run here"),
        ("evaluate", "demo", ["--forecasts=none.csv"], "none.csv: missing; the folder holds"),
        ("evaluate", "demo", ["--forecasts=f.csv", "--alone"], "--alone and --also go with --run"),
        ("evaluate", "demo", ["--run=runs/demo", "--split=later"], "data.splits has train, dev"),
        ("evaluate", "acl18", ["--run=runs/demo"], "than the run was trained for: modalities"),
        ("predict", "demo", ["--run=runs/demo", "--symbol=spx", "--at=2018-06-29"],
         "--symbol=spx: not in the data; it has SPX"),
        ("predict", "demo", ["--run=runs/demo", "--symbol=SPX", "--at=2030-01-01"],
         "no data for SPX then; forecasts can be made from 1999-01-11 to 2018-12-31"),
        ("predict", "demo", ["--run=runs/demo", "--symbol=SPX", "--at=soon"], "not a date"),
        ("predict", "demo", ["--run=runs/demo", "--symbol=SPX", "--at=2018-06-29",
                             "--without=sound"], "name some, not all, of price, vix, chart"),
        ("predict", "demo", ["--run=runs/demo", "--symbol=SPX", "--at=2018-06-29",
                             "--out=f.xls"], "end it with .json or .csv"),
        ("finetune", "demo", ["--from=runs/none"], "runs/none: no run here"),
        ("finetune", None, ["--run=runs/none"], "runs/none: no run here"),
        ("serve_daily", None, ["--run=runs/none"], "runs/none: no run here"),
        ("finetune", "demo", ["--from=runs/demo", *SMALL, "--config.finetune.split=train"],
         "'train' ends on 2016-12-.*give the new days: --config.finetune.split=FROM:TO"),
        ("serve_daily", "demo", ["--from=runs/demo", "--rollback"], "needs --because=WHY, which"),
        ("serve_daily", "demo", ["--from=runs/demo", "--because=x"], "goes with --rollback"),
        ("serve_daily", "demo", ["--from=runs/demo", "--rollback", "--because=x"],
         "runs/demo_serving: no service here"),
        ("explain", "demo", ["--run=runs/demo", "--symbol=SPX", "--target=direction.2d"],
         "--target=direction.2d: expected direction.1d, .*did you mean 'direction.1d'"),
        ("explain", "demo", ["--run=runs/demo", "--symbol=SPX", "--out=why.txt"],
         "--out=why.txt: end it with .json"),
        ("explain", "demo", ["--run=runs/demo", "--symbol=spx"], "--symbol=spx: not in the data"),
        ("track", None, ["--from=runs/demo"], "runs/demo: no served day with a track.json"),
        ("track", None, ["--from=runs/demo", "--verify"], "no record of served days in proof"),
        ("track", None, ["--from=runs/demo", "--verify", "--out=a.json"], "without --verify"),
        ("prepare", "acl18", ["--config.data.root=nowhere"], "nowhere: no such folder"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_one_message(
    folder: Path, script: str, config: str | None, flags: list[str], message: str
) -> None:
    said = launch(folder, script, config, *flags, status=2)
    assert re.search(message, " ".join(said.split())), said
    assert "error: " in said


def test_a_full_disk_is_named_and_the_same_command_goes_on(tmp_path: Path) -> None:
    small_files_only = ["bash", "-c", 'ulimit -f 98 && exec "$@"', "--"]  # KiB
    full = subprocess.run(
        [*small_files_only, *command("prepare", "demo")],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert full.returncode == 2, full.stderr
    assert re.search(r"error: prepared/sp500-\w+: cannot be written \(.*too large", full.stderr)
    assert "Traceback" not in full.stderr
    assert not list(tmp_path.glob("prepared/*/manifest.json"))
    assert "5,031 bars" in launch(tmp_path, "prepare", "demo")
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_prepare_one_set(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            command("prepare", "demo"),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        said, _ = process.communicate(timeout=900)
        assert process.returncode == 0, said
        assert "5,031 bars" in said
    assert len(list(tmp_path.glob("prepared/*/SHA256SUMS"))) == 1
    assert not list(tmp_path.glob("prepared/*.tmp"))


def test_a_missing_config_is_asked_for(tmp_path: Path) -> None:
    said = launch(tmp_path, "train", None, status=2)
    assert "--config is missing; for example --config=demo" in said


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_withheld_period_is_scored_without_touching_code(
    acl18_root: Path, tmp_path: Path
) -> None:
    """Train on data that ends in July, then score September from another folder of one layout."""
    kept = ["AAPL", "GOOG", "KO", "XOM", "CHL"]
    for name, until in (("known", "2015-07-31"), ("withheld", "2015-09-30")):
        root = tmp_path / name
        root.mkdir()
        shutil.copyfile(acl18_root / "stock_table.csv", root / "stock_table.csv")
        prices = pd.read_parquet(acl18_root / "prices_raw.parquet")
        prices = prices[prices["symbol"].isin(kept) & (prices["date"] <= until)]
        prices.to_parquet(root / "prices_raw.parquet")
        tweets = pd.read_parquet(acl18_root / "tweets_preprocessed.parquet")
        few = tweets["symbol"].isin(["XOM", "CHL", "KO", "GOOG"])
        few &= tweets["day"].between("2015-07-20", until)
        tweets[few].to_parquet(root / "tweets_preprocessed.parquet")
    known = [f"--config.data.root={tmp_path / 'known'}"]
    plain = ["--config.train.steps=3", "--config.distill.experts=()"]
    launch(tmp_path, "train", "acl18", *SMALL, *plain, *known)
    fast = ["--config.selection.folds=1"]
    missing = launch(tmp_path, "evaluate", "acl18", "--run=runs/acl18", *fast, *known, status=2)
    assert "splits.dev is 2015-08-01 to 2015-09-30, where the data has no sample" in missing
    said = launch(
        tmp_path, "evaluate", "acl18", "--run=runs/acl18", "--split=dev", *fast,
        f"--data.root={tmp_path / 'withheld'}",
    )  # fmt: skip
    assert "2015-08-03 to 2015-09-30" in said
    subset = launch(
        tmp_path, "evaluate", "acl18", "--run=runs/acl18", "--split=dev", "--subset", *fast,
        f"--data.root={tmp_path / 'withheld'}",
    )  # fmt: skip
    scores = [
        json.loads((tmp_path / f"runs/acl18/scores_dev{s}.json").read_text())
        for s in ("", "_subset")
    ]
    counts = [s["tables"][0]["samples"] for s in scores]
    assert 0 < counts[1] < counts[0], subset


@pytest.mark.slow
def test_a_run_ends_in_one_page(folder: Path) -> None:
    launch(folder, "evaluate", "demo", "--run=runs/demo")
    said = launch(folder, "report", "demo", "--run=runs/demo")
    assert "written to runs/demo/report_dev.html" in said
    page = folder / "runs/demo/report_dev.html"
    assert page.stat().st_size < 10_000_000
    text = page.read_text()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", text), "self-contained"
    shown, logged = opened(page)
    assert not logged
    for section in (
        *("scores", "steps", "experts", "fusion-weights", "prices", "capital", "calibration"),
        *("worst-cases", "diagnostics", "training", "drift", "words"),
    ):
        assert f'<section id="{section}">' in shown
    assert "loss of the others less that of all" in shown, "what each expert changes"
    assert "forecast for " in shown, "a case names the day that was forecast"
    assert re.search(r"Direction: by .*MCC.* better than \d of 10 .*baselines", shown)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_reads_on_a_phone_and_a_desktop_by_day_and_night(
    folder: Path, width: int, dark: bool
) -> None:
    page = folder / "runs/demo/report_dev.html"
    if not page.exists():  # where this test runs alone
        launch(folder, "evaluate", "demo", "--run=runs/demo")
        launch(folder, "report", "demo", "--run=runs/demo")
    seen = looked_at(page, width, dark)
    assert (seen["width"], seen["dark"]) == (width, dark)
    assert seen["needed"] <= width, "nothing but tables, which scroll by themselves, is wider"
    assert seen["verdicts"] >= 30
    assert seen["leftmost"] > 0
    assert seen["rightmost"] <= width, "no verdict is out of sight"
    assert seen["texts"] > 500
    ratio, pale = seen["palest"][0]
    assert ratio >= 4.5, pale
    assert all(seen["sections"].values()), "no section is empty"
    assert seen["plots"] > 15
    assert not seen["blank"], "no plot is empty"
    assert {"MCC", "pinball", "log loss", "expert", "meta set"} <= set(seen["terms"])
    assert set(seen["terms"]) <= set(TERMS)
    term, _, means = seen["meaning"]["text"].partition(": ")
    assert means == TERMS[term].replace("`", "")
    assert seen["meaning"]["shown"]
    assert seen["meaning"]["inside"], "a tap shows what a word means, on the screen"
    assert seen["closes"], "and Escape closes it"


@pytest.mark.slow
def test_the_same_in_python(folder: Path) -> None:
    """in_python.py has the assertions."""
    assert "all as it should be" in launch(folder, "tests/e2e/in_python", None)


@pytest.mark.slow
def test_the_examples_run(folder: Path) -> None:
    said = launch(folder, "examples/forecasts", None)
    assert "2018-06-29" in said
    assert "--symbol=spx: not in the data; it has SPX" in said
    cells = json.loads((ROOT / "examples/demo.ipynb").read_text())["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    (folder / "cells.py").write_text(
        f"import matplotlib\n\nmatplotlib.use('agg')\n{code}\nprint(scores)\n"
    )
    assert "ridge" in launch(folder, str(folder / "cells"), None)


@pytest.mark.slow
def test_a_run_is_enough(folder: Path) -> None:
    """It knows its config; what is given beside it overrides that."""
    said = launch(folder, "predict", None, "--run=runs/demo")
    assert json.loads(said[said.index("[") : said.rindex("]") + 1])[0]["session"] == "2018-12-31"
    shy = "--config.evaluate.abstain_below=0.99"
    said = launch(folder, "predict", None, "--run=runs/demo", shy)
    assert '"call": "abstain"' in said
    wrong = "--config.evaluate.abstain=1"
    said = launch(folder, "predict", None, "--run=runs/demo", wrong, status=2)
    assert "error: config has no key 'evaluate.abstain'; did you mean 'abstain_below'?" in said
    assert launch(folder, "config", None, "--diff=runs/demo", "--diff=runs/demo").strip() == (
        "trained with the same config"
    )


@pytest.mark.slow
def test_a_day_that_was_killed_is_served_and_then_left_alone(folder: Path) -> None:
    flags = ["--from=runs/demo", "--workdir=service", "--config.finetune.steps=2", *SMALL]
    said = launch(folder, "serve_daily", "demo", *flags[:-6], status=2)
    assert "another task than the run was trained for:\n  model" in said
    assert not (folder / "service" / "2018-12-31").exists()
    day = folder / "service" / "2018-12-31"
    for stage in ("begun.json", "drift.json", "update.json"):  # killed after each
        with subprocess.Popen(
            command("serve_daily", "demo", *flags), cwd=folder, env=ENVIRONMENT, text=True
        ) as running:
            until = time.monotonic() + 240
            while not (day / stage).exists():
                assert time.monotonic() < until
                assert running.poll() is None
                time.sleep(0.05)
            running.kill()
    assert not (day / "done.json").exists()
    said = launch(folder, "serve_daily", "demo", *flags)
    assert "1 forecasts after 2018-12-31" in said
    made = json.loads((day / "done.json").read_text())
    assert made["update"]["why"].startswith(
        ("promoted: not worse", "refused: worse", "the parent stays")
    )
    assert (made["serving"] == str(day / "update")) == made["update"]["promoted"]
    assert [f["session"] for f in made["forecasts"]] == ["2018-12-31"]
    page = (day / "report.html").read_text()
    for section in ("forecasts", "drift", "robustness", "update"):
        assert f'<section id="{section}">' in page
    stamps = {p: p.stat().st_mtime_ns for p in day.rglob("*.*")}
    assert "was served before; nothing to do" in launch(folder, "serve_daily", "demo", *flags)
    assert {p: p.stat().st_mtime_ns for p in day.rglob("*.*")} == stamps


@pytest.mark.slow
def test_the_ledger_knows_what_was_run(folder: Path) -> None:
    fast = ["--run=runs/demo"]
    launch(folder, "evaluate", "demo", *fast)
    said = launch(folder, "report", None, "--ledger")
    assert "train" in said
    assert "evaluate" in said
    assert "runs/demo" in said
    page, logged = opened((folder / "runs/ledger/ledger.html").resolve())
    assert "<h2>evaluate</h2>" in page
    assert not logged


@pytest.mark.slow
def test_a_hold_out_is_read_once_by_any_command(folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folder, tmp_path / "locked")  # for good: other tests score these days
    fast = ["--run=runs/demo"]
    launch(folder, "evaluate", "demo", *fast)
    fast.append("--config.evaluate.locked=('dev',)")
    refused = launch(folder, "evaluate", "demo", *fast, status=2)
    assert "hold-out is read once" in refused
    other = ["--config.data.splits.dev=('2017-01-04', '2018-12-31')"]
    other += ["--ledger_dir=another", "--config.data.prepared=elsewhere"]
    for script in ("evaluate", "ablate"):
        refused = launch(folder, script, "demo", *fast, *other, status=2)
        assert "A hold-out is read once, and this one was read" in refused, script
    said = launch(folder, "evaluate", "demo", *fast, "--force")
    assert "HOLD-OUT READ AGAIN: days of a locked hold-out were read" in said
    assert ledger.read(folder / "runs/ledger")[-1].forced
    launch(folder, "report", "demo", "--run=runs/demo")
    page = (folder / "runs/demo/report_dev.html").read_text()
    assert "<p class=alarm>HOLD-OUT READ AGAIN" in page


@pytest.mark.slow
def test_no_score_is_shown_that_could_not_be_recorded(folder: Path) -> None:
    (folder / "full").write_text("where no folder can be made")
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs/demo").rglob("*")}
    said = launch(
        folder, "evaluate", "demo", "--run=runs/demo", "--ledger_dir=full", status=2,
    )  # fmt: skip
    assert re.search(r"^error: \S*full: a record cannot be written .*\n\Z", said, re.MULTILINE), (
        said
    )
    assert "MCC" not in said
    assert {p: p.stat().st_mtime_ns for p in (folder / "runs/demo").rglob("*")} == before


def test_a_report_without_scores_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "runs/demo/seed_0", tmp_path / "runs/demo/seed_0")
    said = launch(tmp_path, "report", "demo", "--run=runs/demo", status=2)
    assert "scores_dev.json: no such file; score that split: fusionjax evaluate" in said
