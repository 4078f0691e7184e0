"""The audit asks what knows the future: each planted leak is named, and honest sets pass."""

import dataclasses

import numpy as np
import pytest

from benchmarks.measures import leak_rates
from benchmarks.measures.leak_worlds import World, market
from benchmarks.measures.planted_leaks import PLANTS
from fusionjax.data.audit import audit, lead
from fusionjax.errors import InputError


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_leak_is_named(name: str) -> None:
    assert leak_rates.is_found(name, 0)


@pytest.mark.parametrize("seed", range(12))
def test_an_honest_set_is_not_accused(seed: int) -> None:
    assert not leak_rates.accused(seed)


@pytest.mark.nightly
def test_of_two_hundred_honest_sets_one_at_most_is_accused() -> None:
    assert sum(bool(leak_rates.accused(seed)) for seed in range(200)) <= 1


def test_a_leak_forbids_training_until_it_is_accepted_by_its_channel() -> None:
    m = PLANTS["the next open, as a price"].into(market(World(300, 8), 1))
    config = leak_rates.config_of(m)
    report = audit(m, config)
    assert "future in planted" in report.verdict
    with pytest.raises(InputError, match="future in planted: the change of planted has a rank cor"):
        report.require_fit()
    code = "future in planted"
    audit(m, config.override({"data.accepted_findings": (code,)})).require_fit()
    table = report.tables["what channels know of the future, most first"]
    assert table.index[0] == "the change of planted"
    assert table["at least"].iloc[0] > table["bound"].iloc[0]


def test_a_channel_that_no_modality_uses_is_not_asked() -> None:
    m = PLANTS["volume of tomorrow"].into(market(World(300, 8), 1))
    config = leak_rates.config_of(dataclasses.replace(m, channel_names=m.channel_names[:-1]))
    assert not [f for f in audit(m, config).findings if f.code == "future in planted"]


def test_what_is_scaled_by_training_alone_is_fine() -> None:
    m = market(World(300, 8, death=0.0), 1)
    config = leak_rates.config_of(m)
    training = m.session <= np.datetime64(config.data.splits["train"][1])
    level = np.log(m.adj_close)
    by_symbol = [(m.symbol == i) & training for i in range(8)]
    mean, std = (np.array([f(level[s]) for s in by_symbol])[m.symbol] for f in (np.mean, np.std))
    channels = m.channels.copy()
    channels[:, m.channel_names.index("level")] = (level - mean) / std
    said = leak_rates.findings(dataclasses.replace(m, channels=channels))
    assert "scaled by all data" not in said


def test_two_classes_of_one_share_are_looked_at_and_not_refused() -> None:
    m = PLANTS["another stock with rounding"].into(market(World(300, 8, death=0.0), 1))
    config = leak_rates.config_of(m)
    (finding,) = [f for f in audit(m, config).findings if f.code == "near-copies"]
    assert finding.level == "watch"


def test_returns_of_few_values_repeat_by_chance() -> None:
    m = market(World(900, 1, death=0.0), 1)
    coin = np.random.default_rng(0).choice([-0.01, 0.01], 900)
    said = leak_rates.findings(dataclasses.replace(m, adj_close=100 * np.exp(coin.cumsum())))
    assert "repeated spells" not in said


def test_what_all_stocks_of_a_day_share_is_not_compared_across_them() -> None:
    """Between stocks it differs only by the regression on their own past."""
    m, tables = market(World(300, 12, death=0.0), 2), {}
    list(lead.findings(m, leak_rates.config_of(m), tables))
    table = tables["what channels know of the future, most first"]
    shared = [n for n in table.index if n.split()[-1] in ("market_dispersion", "market_breadth")]
    assert shared
    assert set(table.loc[shared, "how"]) == {"over all rows"}
