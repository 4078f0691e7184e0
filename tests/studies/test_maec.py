"""MAEC: the published split and baselines, features by hand, and nothing from after the call."""

from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from rich.progress import Progress
from sklearn.linear_model import Ridge

from fusionjax.errors import InputError
from studies.data import maec
from studies.data.views import Views

MAEC = ROOT.parent / "shared" / "datasets" / "maec"
LABELS, SENTENCES = "labels.parquet", "text_audio_2015_2016.parquet"


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """All labels, and the first three sentences of every call."""
    labels, sentences = (pd.read_parquet(MAEC / name) for name in (LABELS, SENTENCES))
    return labels, sentences.groupby("call").head(3).reset_index(drop=True)


@pytest.fixture
def root(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Path:
    return write(tmp_path / "maec", *tables)


@pytest.fixture(autouse=True)
def _embed_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is tested elsewhere; here a text's letters are enough to tell it apart."""

    def features(
        _: Path, texts: np.ndarray, progress: object
    ) -> tuple[None, dict[str, np.ndarray]]:
        letters = np.array([[t.count(c) for c in "abcdefghijklmnopqrstuvwxyz "] for t in texts])
        fixed = np.random.default_rng(0).normal(size=(letters.shape[1], 384)) / 50
        return None, {
            "embedding": (letters @ fixed).astype(np.float16),
            "lexicon": letters[:, :6].astype(np.float32),
        }

    monkeypatch.setattr(maec.items, "text_features", features)


def write(root: Path, labels: pd.DataFrame, sentences: pd.DataFrame) -> Path:
    root.mkdir(exist_ok=True)
    labels.to_parquet(root / LABELS)
    sentences.to_parquet(root / SENTENCES)
    return root


def load(root: Path, year: str = "maec15", **options: int) -> Views:
    return maec.load(root, root / "cache", Progress(disable=True), year=year, **options)


def x_of(loaded: Views, name: str) -> np.ndarray:
    return loaded.batch.inputs[name].x


def market(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Five calls, made up: two to train on, one for dev, two to test."""
    rng = np.random.default_rng(0)
    calls = [f"2015010{d}_X" for d in (5, 6, 7, 8, 9)]
    labels = pd.DataFrame({"call": calls, "date": pd.to_datetime([c[:8] for c in calls])})
    labels["split"] = [f"maec15_{s}" for s in ("train", "train", "dev", "test", "test")]
    labels[[f"k_future_{h}" for h in maec.HORIZONS]] = rng.normal(size=(5, 4))
    labels[[f"k_past_label_{i}" for i in range(30)]] = np.exp(rng.normal(size=(5, 30)))
    labels["k_past_0"] = rng.normal(size=5)
    sentences = pd.DataFrame({"call": np.repeat(calls, 2), "text": list("abcdefghij")})
    sentences[list(maec.AUDIO)] = rng.normal(size=(10, 29))
    write(root, labels, sentences)
    return labels, sentences


@pytest.mark.shared_data
def test_split_order_and_maturity(root: Path) -> None:
    loaded = load(root)
    assert {k: len(v) for k, v in loaded.split.items()} == {"train": 535, "dev": 76, "test": 154}
    np.testing.assert_array_equal(np.concatenate(list(loaded.split.values())), np.arange(765))
    assert [x_of(loaded, n).shape[1] for n in ("price", "text", "audio")] == [13, 32, 58]
    assert all(here.all() for here in loaded.batch.present.values())
    exchange = exchange_calendars.get_calendar("XNYS", start="2015-01-02", end="2016-03-31")
    sessions = exchange.sessions.to_numpy().astype("datetime64[D]").astype(int)
    call_day = np.searchsorted(sessions, loaded.time)
    np.testing.assert_array_equal(sessions[call_day], loaded.time)
    assert (sessions[call_day + 31] <= loaded.known).all()  # where the longest label ends
    targets = loaded.batch.targets
    assert targets.mask["volatility"].all()
    assert not targets.mask["direction"].any()
    assert not targets.mask["returns"].any()
    sixteen = load(root, "maec16")
    assert {k: len(v) for k, v in sixteen.split.items()} == {"train": 980, "dev": 140, "test": 0}


@pytest.mark.shared_data
def test_published_baselines(root: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """PEV is the mean label of the calls before; published to three digits. Then the ridge."""
    loaded = load(root)
    label = loaded.batch.targets.label["volatility"].astype(float)
    np.testing.assert_allclose(label[loaded.split["train"]].mean(0), 0, atol=1e-6)
    before, test = (
        np.concatenate([loaded.split["train"], loaded.split["dev"]]),
        loaded.split["test"],
    )
    pev = ((label[test] - label[before].mean(0)) ** 2).mean(0)
    np.testing.assert_array_equal(pev.round(3), [0.532, 0.301, 0.209, 0.177])

    calls = tables[0][tables[0]["split"] == "maec15_test"]
    past = calls[[f"k_future_{h}" for h in maec.HORIZONS]].sub(calls["k_past_0"], axis=0)
    np.testing.assert_array_equal((past**2).mean().round(3), [0.508, 0.279, 0.215, 0.167])

    price = x_of(loaded, "price").astype(float)
    ridge = Ridge(alpha=100).fit(price[before], label[before])
    error = ((ridge.predict(price[test]) - label[test]) ** 2).mean(0)
    assert (error < [0.385, 0.180, 0.107, 0.077]).all()


@pytest.mark.shared_data
def test_nothing_after_the_call_is_an_input(
    root: Path, tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    labels = tables[0].copy()
    future = [c for c in labels if c.startswith("k_future")]
    assert len(future) == 34
    labels[future] = labels[future].sample(frac=1, random_state=0).to_numpy()
    real, permuted = load(root), load(write(tmp_path / "permuted", labels, tables[1]))
    for name in real.names:
        np.testing.assert_array_equal(x_of(real, name), x_of(permuted, name))
    np.testing.assert_array_equal(real.batch.log_scale, permuted.batch.log_scale)
    assert real.batch.log_scale.std() > 0.1
    assert (
        real.batch.targets.label["volatility"] != permuted.batch.targets.label["volatility"]
    ).any()


@pytest.mark.shared_data
def test_transforms_are_those_of_the_training_calls(
    root: Path, tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    labels, sentences = (t.copy() for t in tables)
    later = labels["split"].isin(["maec15_dev", "maec15_test"])
    numbers = labels.filter(regex="^k_").columns
    labels.loc[later, numbers] *= np.random.default_rng(0).uniform(
        1, 3, (later.sum(), len(numbers))
    )
    said = sentences["call"].isin(labels["call"][later])
    sentences.loc[said, "text"] = "zzz " + sentences["text"][said]
    sentences.loc[said, list(maec.AUDIO)] *= 7
    real, changed = load(root, junk=2), load(write(tmp_path / "changed", labels, sentences), junk=2)
    train, test = real.split["train"], real.split["test"]
    for name in real.names:
        np.testing.assert_array_equal(x_of(real, name)[train], x_of(changed, name)[train])
        assert (x_of(real, name)[test] != x_of(changed, name)[test]).any(1).all()
    targets, after = real.batch.targets, changed.batch.targets
    np.testing.assert_array_equal(
        targets.label["volatility"][train], after.label["volatility"][train]
    )


@pytest.mark.shared_data
def test_placebos_are_dealt_within_their_split(root: Path) -> None:
    loaded, again, other = (load(root, junk=3, seed=seed) for seed in (0, 0, 1))
    assert loaded.names == ("price", "text", "audio", "junk_0", "junk_1", "junk_2")
    for placebo, name in (("junk_0", "text"), ("junk_1", "audio"), ("junk_2", "text")):
        for rows in loaded.split.values():
            real, dealt = x_of(loaded, name)[rows], x_of(loaded, placebo)[rows]
            assert sorted(map(tuple, real)) == sorted(map(tuple, dealt))
            assert (real != dealt).any(1).mean() > 0.9
        np.testing.assert_array_equal(x_of(loaded, placebo), x_of(again, placebo))
        assert (x_of(loaded, placebo) != x_of(other, placebo)).any()
    assert (x_of(loaded, "junk_0") != x_of(loaded, "junk_2")).any()


def test_price_features_by_hand() -> None:
    back = np.arange(30)
    steady, still = 100 * np.exp(-0.01 * back), np.full(30, 7.0)
    jump = np.where(back < 3, 100 * np.exp(0.3), 100)  # 30 % three sessions ago
    steady_x, still_x, jump_x = maec._price_features(np.stack([steady, still, jump]))
    np.testing.assert_allclose(steady_x[:3], [np.log(0.01), np.log(0.01), 0.03])
    np.testing.assert_allclose(steady_x[-1], 0.29)
    np.testing.assert_allclose(still_x[:3], [np.log(1e-4), np.log(1e-4), 0])
    np.testing.assert_allclose(jump_x[:2], np.log(0.3) - [np.log(3) / 2, np.log(3)])
    np.testing.assert_allclose(jump_x[9:11], np.log(0.3) - [np.log(29) / 2, np.log(29)])


def test_audio_dirt_and_gaps(tmp_path: Path) -> None:
    labels, sentences = market(tmp_path)
    calls, first, second = labels["call"], *maec.AUDIO[:2]
    sentences[first] = ["2", "4", "1", "--undefined--", "8", "9", "x", "y", "", "0"]
    sentences.loc[sentences["call"] == calls[4], list(maec.AUDIO)] = np.nan
    x = maec._audio_features(sentences, calls, np.array([0, 1]))
    np.testing.assert_allclose(x[:4, 0], [3, 1, 8.5, 2])  # the last: the median of 3 and 1
    np.testing.assert_allclose(x[:4, 29], [1, 0, 0.5, 0.5])
    np.testing.assert_allclose(
        x[2, [1, 30]], [f(sentences[second][4:6]) for f in (np.mean, np.std)]
    )
    assert np.isnan(x[4]).all()
    sentences = sentences.drop(columns=first).assign(**{first: 1.0})
    loaded = load(write(tmp_path, labels, sentences[sentences["call"] != calls[3]]))
    assert loaded.batch.present["audio"].tolist() == [True, True, True, False, True]
    assert loaded.batch.present["text"].tolist() == [True, True, True, False, True]
    assert loaded.batch.present["price"].all()


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    labels, sentences = market(tmp_path)
    call = labels["call"][1]
    for column in ("k_past_label_7", "k_future_15", "split"):
        write(tmp_path, labels.drop(columns=column), sentences)
        with pytest.raises(InputError, match=rf"{LABELS}: lacks column {column}"):
            load(tmp_path)
    write(tmp_path, labels, sentences.drop(columns="jitter_rap"))
    with pytest.raises(InputError, match=rf"{SENTENCES}: lacks column jitter_rap"):
        load(tmp_path)
    write(tmp_path, labels, sentences.assign(text=["a", "b", None, *"cdefghi"]))
    with pytest.raises(InputError, match=rf"call {call} has a sentence without text"):
        load(tmp_path)
    for column, value, why in (
        ("k_past_label_3", -1.0, "has a close that is not above zero"),
        ("k_future_7", np.nan, "has a number missing"),
        ("date", pd.NaT, "has no date"),
        ("call", labels["call"][0], "appears twice"),
    ):
        broken = labels.copy()
        broken.loc[1, column] = value
        write(tmp_path, broken, sentences)
        with pytest.raises(InputError, match=rf"{LABELS}: call {broken['call'][1]} {why}"):
            load(tmp_path)
    write(tmp_path, labels, sentences)
    with pytest.raises(InputError, match=r"split holds no maec16_train"):
        load(tmp_path, "maec16")
