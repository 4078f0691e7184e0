"""One table of words: what pages mention is in it, each is explained once a section, and the
handbook has the same."""

import re
import runpy

import pytest
from conftest import ROOT

from fusionjax.registry import HEADS
from fusionjax.report import glossary
from fusionjax.report.glossary import TERMS

# Names of metrics in the tables, without the costs that they are after.
METRICS = (
    *("accuracy", "balanced accuracy", "precision", "recall", "F1", "MCC", "log loss", "Brier"),
    *("ECE", "AUC", "IC", "RankIC", "turnover", "size exposure", "Sharpe at 10 bps", "beta"),
    *("max drawdown at 10 bps", "pinball", "CRPS", "PIT distance", "coverage", "MSE", "MAE"),
)


def test_every_metric_is_explained() -> None:
    shown = {metric for name in HEADS for metric in (*HEADS[name].shown, *HEADS[name].listed)}
    for metric in {*METRICS, *shown}:
        assert glossary.find(metric), metric
    assert glossary.find("Sharpe at 10 bps") == ["Sharpe", "bps"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Modalities, experts and the meta set", ["modality", "expert", "meta set"]),
        ("fitted walk-forward, by log loss", ["walk-forward", "log loss"]),
        ("Log-HAR with the market", ["Log-HAR"]),
        ("ic, mcc and Mse are no metrics", []),
        ("runs/demo, --seeds=5, config.run and seed_0 are names", []),
        ("a market ran; the Brierley", []),
    ],
)
def test_words_are_found_and_names_are_not(text: str, terms: list[str]) -> None:
    assert glossary.find(text) == terms


def test_a_term_is_explained_once_and_never_inside_markup() -> None:
    seen: set[str] = {"seed"}
    html = (
        '<p title="MCC">MCC, the MCC of seeds</p><script>"MCC"</script><blockquote>run</blockquote>'
    )
    got = str(glossary.explained(html, seen))
    assert got.count("<abbr") == 1
    assert re.search(r'<p title="MCC"><abbr tabindex=0 data-term="MCC" data-means="Matthews', got)
    assert got.endswith('<script>"MCC"</script><blockquote>run</blockquote>')
    assert seen == {"seed", "MCC"}
    assert "&lt;b&gt;" in glossary.explained("<p>&lt;b&gt; run</p>", set()), "escaped stays escaped"


def test_meanings_use_no_word_in_two_ways() -> None:
    assert [*TERMS] == sorted(TERMS, key=str.lower), "in the order in which one looks a word up"
    assert all(meaning[-1] not in ".;" for meaning in TERMS.values())


def test_the_handbook_has_the_same_words() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_glossary.py"))
    page = (ROOT / "docs/handbook.md").read_text()
    assert drawn["page"]() == page, "run python docs/draw_glossary.py"
