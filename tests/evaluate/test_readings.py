"""A hold-out is read once, whatever it is called and wherever it lies; every trial is counted."""

import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TINY, seeing, small, tiny_market

from fusionjax import chain, ledger
from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import evaluation, labels, readings
from fusionjax.evaluate.labels import Labels
from fusionjax.evaluate.readings import Question, Reading
from fusionjax.ledger import Result, Subject

DEV, TEST = ("2020-03-01", "2020-04-30"), ("2020-05-01", "2020-06-30")
STOCKS = tuple("ABCDEFGH")
BY_ROW = ("symbol", "session", "decision_time", "ohlcv", "adj_close", "subset", "channels")


def config(**changes: object) -> Config:
    splits = {"train": ("2020-01-01", "2020-02-28"), "dev": DEV, "test": TEST}
    given = {"data__splits": splits, "evaluate__locked": ("test",)} | changes
    return small(seeing({"price": TINY["price"]}), Path("prepared"), **given)


@functools.cache
def market(seed: int = 0, stocks: tuple[str, ...] = STOCKS, days: int = 190) -> Market:
    return tiny_market(days=days, symbols=stocks, seed=seed, texts=False)


def question(
    c: Config | None = None,
    days: tuple[str, str] = TEST,
    of: Market | None = None,
    book: str = "ledger",
    **changes: object,
) -> Question:
    read = labels.of_days(market() if of is None else of, *(np.datetime64(d) for d in days))
    asked = Question(
        "evaluate",
        config() if c is None else c,
        Subject("runs/a", "abc", (0,), "test"),
        read,
        ("a",),
    )
    return dataclasses.replace(asked, ledger=Path(book), **changes)  # type: ignore[arg-type]


def read_once(**changes: object) -> ledger.Record:
    return question(**changes).begin().finish(Result({"MCC": 0.1}, {}))  # type: ignore[arg-type]


def refused(asked: Question) -> None:
    with pytest.raises(InputError, match=r"A hold-out is read once, and this one was read 1 time"):
        asked.begin()
    with pytest.raises(InputError, match=r"evaluate.locked: .* first on .* by evaluate runs/a as"):
        asked.require_unread()


def moved(m: Market, **columns: object) -> Market:
    return dataclasses.replace(m, **columns)  # type: ignore[arg-type]


def test_the_second_reading_is_refused_and_the_first_is_on_record() -> None:
    made = read_once()
    assert made.finished
    assert made.days == TEST
    assert made.locked == (TEST,)
    for place in ("ledger", "prepared/readings", ".state/fusionjax/readings"):
        assert ledger.read(Path(place)) == [made], place
    refused(question())


def test_a_reading_of_other_days_or_other_data_is_free() -> None:
    read_once()
    question(days=DEV).begin()
    question(days=DEV).begin()  # which nobody locked
    question(of=market(seed=7)).begin()  # other prices under the same names
    assert [r.forced for r in ledger.read(Path("ledger"))] == [False] * 4


SHIFTED = ("2020-05-02", "2020-07-01")


@pytest.mark.parametrize(
    "asked",
    [
        lambda: question(
            days=SHIFTED, c=config(data__splits={"train": DEV, "dev": DEV, "test": SHIFTED})
        ),
        lambda: question(days=("2020-06-30", "2020-07-08")),
        lambda: question(
            c=config(
                data__splits={"train": DEV, "dev": DEV, "mine": TEST}, evaluate__locked=("mine",)
            ),
            subject=Subject("runs/b", "abc", (0,), "mine"),
        ),
        lambda: question(c=config(evaluate__locked=())),
        lambda: question(book="another/ledger"),
        lambda: question(c=config(data__prepared="elsewhere"), book="another"),
        lambda: question(c=config(data__source="folder", data__root="copy")),
    ],
    ids=["a day later", "one day shared", "another split", "a flag", "ledger", "folders", "source"],
)
def test_another_name_period_flag_or_folder_opens_nothing(asked: Callable[[], Question]) -> None:
    read_once()
    refused(asked())


def test_what_a_run_was_trained_to_keep_locked_stays_so_whatever_the_flag() -> None:
    free = config(evaluate__locked=())
    read_once(c=free, trained=(config(),))
    refused(question(c=free, trained=(config(),), book="new"))


def test_days_that_were_read_before_they_were_locked_are_no_hold_out() -> None:
    read_once(c=config(evaluate__locked=()))
    refused(question())


def ways(m: Market) -> dict[str, Market]:
    rng = np.random.default_rng(3)
    cents = np.round(m.adj_close * 37, 2)
    factor = np.where(m.symbol % 2 == 0, 0.93, 1.0)
    return {
        "a row more": market(days=191),
        "half of the stocks": market(stocks=STOCKS[:4]),
        "a channel more": moved(m, channels=np.c_[m.channels, rng.normal(size=len(m.symbol))]),
        "adjusted anew": moved(m, adj_close=m.adj_close * factor),
        "rounded to cents": moved(m, adj_close=cents),
        "renamed": moved(m, symbols=tuple(f"{s}.US" for s in m.symbols)),
    }


@pytest.mark.parametrize("way", list(ways(market())))
def test_the_same_prices_in_another_preparation_are_the_same_hold_out(way: str) -> None:
    first = market(days=191) if way == "half of the stocks" else market()
    if way == "half of the stocks":  # a stock's prices are what they were in the larger set
        inside = np.flatnonzero(first.symbol < 4)
        taken = {k: getattr(first, k)[inside] for k in (*BY_ROW, "first_row")}
        other = moved(first, symbols=STOCKS[:4], **taken)
    elif way == "a row more":
        first, other = market(days=191), market(days=191)
        keep = first.session < first.session.max()
        day = {k: getattr(first, k)[keep] for k in BY_ROW}
        first = moved(first, **day, first_row=np.searchsorted(day["symbol"], day["symbol"]))
    else:
        other = ways(first)[way]
    read_once(of=first)
    refused(question(of=other))


def test_a_copy_of_the_prepared_set_takes_its_readings_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_once()
    shutil.copytree("prepared", "copy")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    refused(question(c=config(data__prepared="copy"), book="another"))
    question(c=config(data__prepared="made anew"), book="a third").begin()  # docs/evaluation.md


def test_lost_labels_lock_by_days() -> None:
    read_once()
    for path in Path().rglob("labels/*.npz"):
        path.write_bytes(b"damaged")
    refused(question(of=market(seed=7)))
    question(days=DEV).begin()


def test_a_forced_reading_counts_and_is_told_ever_after() -> None:
    read_once()
    again = question(c=config(evaluate__read_again=True)).begin()
    assert again.record.forced
    told = "HOLD-OUT READ AGAIN: days of a locked hold-out were read 2 times, 1 of them forced"
    assert again.warnings[0].startswith(told)
    third = question(c=config(evaluate__read_again=True), days=SHIFTED, book="new").begin()
    assert "read 3 times, 2 of them forced" in third.warnings[0]
    assert not question(days=DEV).begin().warnings


def test_a_first_reading_is_not_forced_although_it_would_be_allowed() -> None:
    first = question(c=config(evaluate__read_again=True)).begin()
    assert not first.record.forced
    assert not first.warnings


def test_a_lock_does_not_grow_over_days_that_are_read_with_it() -> None:
    read_once()
    both = (DEV[0], TEST[1])
    question(c=config(evaluate__read_again=True), days=both).begin()
    question(days=DEV).begin()


# Forks before JAX starts its threads: all children cost one interpreter.
_CHILDREN = """
import dataclasses, os, sys
from pathlib import Path
from fusionjax.configs import demo
from fusionjax.config import resolve
from fusionjax.errors import InputError
from fusionjax.evaluate.labels import Labels
from fusionjax.evaluate.readings import Question
from fusionjax.ledger import Subject

for given in sys.argv[1:]:
    sum_of, count, signal_number = given.split(",")
    read = Labels.load(Path("given"), sum_of)
    config = resolve(demo.get_config()).override(
        {
            "data.splits": dict.fromkeys(("train", "dev", "stream"), read.days),
            "evaluate.locked": ("dev",),
        }
    )
    asked = Question("evaluate", config, Subject("runs/a", "", (0,), "dev"), read, ("a",))
    asked = dataclasses.replace(asked, ledger=Path("ledger"))
    children = []
    for i in range(int(count)):
        children.append(os.fork())
        if not children[-1]:
            try:
                asked.begin()
            except InputError as e:
                os._exit(7 if "A hold-out is read once" in str(e) else 1)
            os.kill(os.getpid(), int(signal_number))
            os._exit(0)
    print(*sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def test_of_processes_at_once_one_reads_and_one_that_was_killed_has_read() -> None:
    killed, raced = question().labels, question(days=DEV).labels
    for read in (killed, raced):
        read.save(Path("given"))
    words = [f"{killed.sum},1,{int(signal.SIGKILL)}", f"{raced.sum},6,0", f"{killed.sum},1,0"]
    done = subprocess.run(
        [sys.executable, "-c", _CHILDREN, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n") == ["-9", "0 7 7 7 7 7", "7", ""], done.stderr
    begun = ledger.read(Path("ledger"))
    assert len(begun) == 2
    assert not begun[0].finished
    assert not begun[0].metrics
    assert ledger.table(begun)["split"].tolist() == ["dev (not finished)"] * 2


def test_without_a_ledger_nothing_is_read() -> None:
    Path("ledger").write_text("a file where a folder is to be")
    with pytest.raises(chain.Unwritable, match="ledger: a record cannot be written .* no score is"):
        question().begin()


def test_a_read_only_set_is_recorded_for_the_user(capsys: pytest.CaptureFixture) -> None:
    Path("prepared").write_text("")
    read_once()
    assert "prepared/readings: cannot be written; recorded elsewhere" in capsys.readouterr().err
    refused(question(book="another"))


def test_without_any_place_but_the_ledger_nothing_is_read() -> None:
    Path("prepared").write_text("")
    Path(".state").write_text("")
    with pytest.raises(chain.Unwritable, match="no score is shown"):
        question().begin()


def test_a_result_that_cannot_be_recorded_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = question().begin()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(chain.Unwritable, match="disk full"):
        reading.finish(Result({"MCC": 0.1}, {}))


def trial(setting: str, daily: dict[str, float], **changes: object) -> Reading:
    reading = question(trials=(setting,), c=config(evaluate__locked=()), **changes).begin()  # type: ignore[arg-type]
    reading.finish(Result({}, {}, daily), {setting: daily})
    return reading


def test_every_setting_is_a_trial_once_and_every_scoring_a_reading() -> None:
    rng = np.random.default_rng(0)
    days = [str(d) for d in np.arange("2020-05-01", "2020-06-30", dtype="datetime64[D]")]
    series = [
        dict(zip(days, rng.normal(0, 0.01, len(days)).tolist(), strict=True)) for _ in range(4)
    ]
    first = trial("a", series[0])
    assert (
        evaluation._of_trials(first, "a", {"a": series[0]})
        == "Trial 1 on these days, reading 1, by the ledger"
    )
    assert trial("a", series[0]).count == "Trial 1 on these days, reading 2"
    assert trial("b", series[1], book="another").count == "Trial 2 on these days, reading 3"
    assert trial("c", series[2], days=SHIFTED).count == "Trial 3 on these days, reading 4"
    assert trial("c", {}, days=DEV).count == (
        "Trial 1 on these days, reading 1 (2 more settings on other days)"
    )
    trial("no returns", {})
    last = question(trials=("d",), c=config(evaluate__locked=())).begin()
    line = evaluation._of_trials(last, "d", {"d": series[3]})
    assert line.startswith(
        "Trial 5 on these days, reading 6, by the ledger; at 10 bps: deflated Sharpe"
    )
    assert line.endswith("(4 of the trials have returns on 60 common days)")


def test_thirty_settings_of_one_folder_are_thirty_trials() -> None:
    """By what a sweep or a loop over learning rates scores, not by the name of its folder."""
    free = config(evaluate__locked=())
    for i in range(30):
        changed = free.override({"train.learning_rate": 1e-3 * (i + 1)})
        setting = readings.of_config(ledger.flat(changed))
        last = question(c=changed, trials=(setting,)).begin()
    assert last.count == "Trial 30 on these days, reading 30"


def test_what_is_no_setting_makes_no_trial() -> None:
    flat = ledger.flat(config())
    same = ledger.flat(config(data__prepared="b", seed=3, evaluate__locked=(), name="b"))
    assert readings.of_config(flat) == readings.of_config(same)
    assert readings.of_config(flat) != readings.of_config(ledger.flat(config(model__width=8)))


def test_records_of_older_versions_lock_by_source_and_overlap() -> None:
    now = ledger.record("evaluate", config(), Subject("runs/old", "", (0,), "test"), Result({}, {}))
    ledger.append(Path("ledger"), now)
    with pytest.raises(InputError, match="first on .* by evaluate runs/old as split test"):
        question().begin()
    question(c=config(data__source="folder", data__root="x")).begin()


def test_labels_know_a_day_by_its_returns() -> None:
    m = market()
    a = labels.of_days(m, np.datetime64("2020-05-01"), np.datetime64("2020-05-03"))
    assert len(a.day) == 3 * len(STOCKS)
    row = np.flatnonzero((m.symbol == 2) & (m.session == np.datetime64("2020-05-02")))[0]
    (mine,) = a.value[(a.symbol == "C") & (a.days[0] != "") & (a.day == m.session[row].astype(int))]
    np.testing.assert_allclose(mine, np.log(m.adj_close[row] / m.adj_close[row - 1]), rtol=1e-5)
    a.save(Path("x"))
    read = Labels.load(Path("x"), a.sum)
    assert read is not None
    assert read.sum == a.sum
    assert Labels.load(Path("x"), "0" * 64) is None


@pytest.mark.parametrize("stocks", [1, 5, 500])
def test_other_data_of_the_same_days_is_never_taken_for_the_same(stocks: int) -> None:
    names = tuple(f"S{i:03}" for i in range(stocks))
    wrong = 0
    for seed in range(1, 41 if stocks < 500 else 6):
        a, b = (
            labels.of_days(
                market(s, names, 60), np.datetime64("2020-02-01"), np.datetime64("2020-02-20")
            )
            for s in (0, seed)
        )
        wrong += a.same_data(b)
        assert a.same_data(a)
    assert wrong == 0
