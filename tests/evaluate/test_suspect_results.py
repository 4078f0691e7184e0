"""Scores with a leak alarm are written, marked wherever they stand, and relabelled by an answer."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import price_trainer

from fusionjax import ledger
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import answer, evaluation, leaks
from fusionjax.evaluate.inference import Ensemble, Prediction
from fusionjax.experts import learners
from fusionjax.report import run as page


def knowing(market: Market, also: bool) -> type[Ensemble]:
    """An ensemble whose direction, or that of the second run alone, is what will come."""

    class Knowing(Ensemble):
        def predict_each(
            self, rows: np.ndarray, hidden: frozenset[str] = frozenset()
        ) -> list[Prediction]:
            fair = super().predict_each(rows, hidden)
            if also:
                return fair
            following = np.minimum(rows + 1, market.last_row[rows])
            rose = market.adj_close[following] >= market.adj_close[rows]
            up = np.where(rose, 0.9, 0.1)[:, None]
            return [Prediction({**p.value, "direction": up}, p.modality_weight) for p in fair]

    return Knowing


@pytest.mark.slow
def test_suspect_scores_are_written_marked_and_answered(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = price_trainer(prepared)
    config, market, run, records = trainer.config, trainer.market, tmp_path / "run", tmp_path / "l"
    trainer.train(0, run / "seed_0")
    # As if prices came from an encoder that had read of all these days.
    market = dataclasses.replace(market, encoders={"numeric": ("a reader", "2030-01")})
    for grid in ("_PENALTIES", "_TREES"):
        monkeypatch.setattr(learners, grid, getattr(learners, grid)[:1])
    config = config.override(
        {"evaluate.market_channel": "market_ret"} if "market_ret" in market.channel_names else {}
    )
    fair, knows = (knowing(market, also)(run, config, market) for also in (True, False))
    made = evaluation.evaluate({str(run): fair, "other": knows}, market, config, records)
    heard = made.scores.suspect
    assert heard
    assert all(line.startswith("LEAK ALARM: other, direction at 1") for line in heard), heard
    evaluation.publish(made, config, run)

    written = json.loads((run / "scores_dev.json").read_text())
    assert written["tables"][0]["suspect"] == heard
    text = (run / "scores_dev.md").read_text()
    assert heard[0] in text
    assert "SUSPECT: no result until" in text
    assert "READ BEFORE: a reader, which embeds numeric, has learned from what was" in text
    assert pd.read_parquet(run / "outcomes_dev.parquet").attrs["marks"][-1].startswith("SUSPECT")
    (record,) = ledger.read(records)
    assert record.suspect == tuple(heard)
    assert "SUSPECT" in ledger.table([record])["split"].iloc[0]
    html = page.write(run, "dev", market, config, trainer.windows, [record]).read_text()
    assert "<h1>SUSPECT, " in html
    assert "<p class=alarm>LEAK ALARM: other, direction" in html
    assert "<p class=alarm>READ BEFORE: a reader" in html
    with pytest.raises(InputError, match="LEAK ALARM: other, direction at 1 session"):
        leaks.require_answered(made.scores.suspect, config.evaluate)

    runs = {str(run): fair, "other": knows}
    given = config.override({"evaluate.leak_alarm_override": "planted on purpose"})
    monkeypatch.setattr(Ensemble, "predict_each", lambda *_: pytest.fail("computed again"))
    options = evaluation.Options()
    assert answer.answer(runs, config, options, run, records) is None, "no answer"
    changed = given.override({"evaluate.abstain_below": 0.6})
    assert answer.answer(runs, changed, options, run, records) is None, "other settings"
    assert answer.answer({str(run): fair}, given, options, run, records) is None, "other runs"
    scores = answer.answer(runs, given, options, run, records)
    assert scores is not None
    assert scores.tables == made.scores.tables
    text = (run / "scores_dev.md").read_text()
    assert "These leak alarms were answered: planted on purpose" in text
    assert "SUSPECT" not in text
    assert pd.read_parquet(run / "outcomes_dev.parquet").attrs["marks"][-1].endswith("on purpose")
    assert [r.kind for r in ledger.read(records)] == ["evaluate", "answer"]
    assert "answered: planted" in ledger.table(ledger.read(records))["split"].iloc[0]
    html = page.write(run, "dev", market, given, trainer.windows, []).read_text()
    assert "<h1>SUSPECT" not in html
    assert "answered: planted on purpose" in html
    leaks.require_answered(scores.suspect, given.evaluate)


def test_records_of_before_have_no_alarm(tmp_path: Path) -> None:
    raw = {
        "id": "20200101T000000.0-ab", "kind": "evaluate", "name": "x", "run": "r", "parent": "",
        "code": "c", "data": "d", "seeds": [0], "split": ["dev", "a", "b"], "metrics": {},
        "daily": {}, "cost": {}, "forced": False, "config": {},
    }  # fmt: skip
    (tmp_path / "1.json").write_text(json.dumps(raw))
    assert ledger.read(tmp_path)[0].suspect == ()
