"""MAEC (CIKM 2020): log volatility after an earnings call from prices, transcript and voice.

Only what is known at the close of the call's day is an input; no ``k_future`` column ever is.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64
from rich.progress import Progress

from fusionjax.data import items, schema
from fusionjax.errors import InputError
from studies.data.views import StudyLabels, Views, targets, views

HORIZONS = (3, 7, 15, 30)  # sessions
_PRAAT = (
    "mean_pitch standard_deviation minimum_pitch maximum_pitch mean_intensity minimum_intensity "
    "maximum_intensity number_of_pulses number_of_periods mean_period standard_deviation_of_period "
    "fraction_of_unvoiced number_of_voice_breaks degree_of_voice_breaks jitter_local "
    "jitter_local_absolute jitter_rap jitter_ppq5 jitter_ddp shimmer_local shimmer_local_db "
    "shimmer_apq3 shimmer_apq5 shimmer_apq11 shimmer_dda mean_autocorrelation mean_nhr mean_hnr "
    "audio_length"
)
AUDIO = tuple(_PRAAT.split())

_LABELS, _SENTENCES = "labels.parquet", "text_audio_2015_2016.parquet"
_TARGETS = tuple(f"k_future_{h}" for h in HORIZONS)
_CLOSES = tuple(f"k_past_label_{i}" for i in range(30))  # 0 = the call day, counting back
_LOOK_BACKS = (3, 7, 15, 29)  # sessions
_TRAILING = -3  # column of the log root mean square return over the longest
_FLAT = 1e-4  # the least daily move that counts: a price that stands still has a finite logarithm
_TEXT_WIDTH = 32
# The longest label ends 31 sessions after the call: at most 49 calendar days in New York, 2010-25.
_LABEL_DAYS = 49


def load(
    root: Path,
    cache: Path,
    progress: Progress,
    *,
    year: Literal["maec15", "maec16"],
    junk: int = 0,
    seed: int = 0,
) -> Views:
    """Reads one year's calls as the modalities ``price``, ``text`` and ``audio``.

    ``log_volatility`` is stated relative to the training mean of its horizon, which leaves every
    squared error as it is, and ``log_scale``, what a forecast starts from, is the trailing one
    relative to its own training mean. Time is counted in days since 1970. MAEC-16 comes without
    test calls.

    Args:
      root: folder of the two parquet files.
      cache: folder of ``items.text_features``.
      progress: shows how far the embedding is.
      year: which published split.
      junk: how many placebos to add: ``junk_0``, ``junk_1``, ... are text and audio alternately,
        dealt to other calls of the same split.
      seed: of that dealing.

    Raises:
      InputError: a file is missing or damaged, or a call breaks what is said of its row.
    """
    calls = _read_calls(root / _LABELS, year)
    sentences = _read_sentences(root / _SENTENCES, calls["call"])
    split = {
        name: np.flatnonzero(calls["split"] == f"{year}_{name}").astype(np.int64)
        for name in ("train", "dev", "test")
    }
    train = split["train"]
    price = _price_features(calls[list(_CLOSES)].to_numpy(float))
    trailing = price[:, _TRAILING] - price[train, _TRAILING].mean()
    vectors = {
        "price": np.column_stack([price, calls["k_past_0"]]),
        "text": _text_features(sentences, calls["call"], train, cache, progress),
        "audio": _audio_features(sentences, calls["call"], train),
    }
    rng = np.random.default_rng([seed, 29])
    for i in range(junk):
        placebo = vectors["audio" if i % 2 else "text"].copy()
        for rows in split.values():
            placebo[rows] = placebo[rng.permutation(rows)]
        vectors[f"junk_{i}"] = placebo
    time = calls["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    label = calls[list(_TARGETS)].to_numpy(float)
    labels = StudyLabels(
        targets(log_volatility=label - label[train].mean(0)),
        known=time + _LABEL_DAYS,
        log_scale=trailing.astype(np.float32),
        horizons=HORIZONS,
    )
    return views(vectors, labels, time, split, root, dated=True)


def _read_calls(path: Path, year: str) -> pd.DataFrame:
    """The year's calls by date; those of one day in the alphabet's order, as the split has them."""
    calls = schema.read_table(path)
    numbers = ["k_past_0", *_CLOSES, *_TARGETS]
    schema.require_columns(calls, ("call", "date", "split", *numbers), path)
    calls = calls[calls["split"].astype(str).str.startswith(f"{year}_")]
    if not (calls["split"] == f"{year}_train").any():
        raise InputError(f"{path}: split holds no {year}_train; copy the file again")
    for bad, why in (
        (calls["call"].duplicated(), "appears twice; keep one row"),
        (calls["date"].isna(), "has no date"),
        (~np.isfinite(calls[numbers]).all(axis=1), "has a number missing; drop the call"),
        ((calls[list(_CLOSES)] <= 0).any(axis=1), "has a close that is not above zero"),
    ):
        rows = np.flatnonzero(bad)
        if len(rows):
            call = calls["call"].iloc[rows[0]]
            raise InputError(f"{path}: call {call} {why}; {len(rows)} such")
    return calls.sort_values(["date", "call"], ignore_index=True)


def _read_sentences(path: Path, calls: pd.Series) -> pd.DataFrame:
    sentences = schema.read_table(path)
    schema.require_columns(sentences, ("call", "text", *AUDIO), path)
    sentences = sentences[sentences["call"].isin(calls)]
    silent = ~sentences["text"].map(lambda cell: isinstance(cell, str)).astype(bool)
    if silent.any():
        call = sentences["call"][silent].iloc[0]
        raise InputError(f"{path}: call {call} has a sentence without text; drop that row")
    return sentences


def _price_features(closes: Float[np.ndarray, "S 30"]) -> Float[np.ndarray, "S 12"]:
    """Log root mean square, log mean absolute and total log return over each look-back.

    The mean absolute return is there because one jump, say of the last earnings, rules the root
    mean square.

    Args:
      closes: adjusted, the call day's first, then back in time. Their level is not used: it is
        adjusted for dividends and splits that came after the call.
    """
    move = np.log(closes[:, :-1] / closes[:, 1:])
    columns = []
    for n in _LOOK_BACKS:
        recent = move[:, :n]
        sizes = np.sqrt((recent**2).mean(1)), np.abs(recent).mean(1)
        columns += [*(np.log(np.maximum(size, _FLAT)) for size in sizes), recent.sum(1)]
    return np.column_stack(columns)


def _text_features(
    sentences: pd.DataFrame,
    calls: pd.Series,
    train: Int64[np.ndarray, "N"],
    cache: Path,
    progress: Progress,
) -> Float[np.ndarray, "S _"]:
    """Principal components of the call's mean sentence embedding and mean lexicon scores.

    Scales and components are those of the training calls. A call without sentences is NaN.
    """
    from sklearn.decomposition import PCA

    _, features = items.text_features(cache, sentences["text"].to_numpy(object), progress)
    each = pd.DataFrame(
        np.concatenate([features["embedding"], features["lexicon"]], axis=1, dtype=np.float64)
    )
    x = each.groupby(sentences["call"].to_numpy()).mean().reindex(calls).to_numpy()
    has_text = np.isfinite(x).all(1)
    train_rows = x[train][has_text[train]]
    scale = np.where(train_rows.std(0) > 1e-8, train_rows.std(0), 1)
    pca = PCA(min(_TEXT_WIDTH, *train_rows.shape), svd_solver="full").fit(train_rows / scale)
    out = np.full((len(x), pca.n_components_), np.nan)
    out[has_text] = pca.transform(x[has_text] / scale)
    return out


def _audio_features(
    sentences: pd.DataFrame, calls: pd.Series, train: Int64[np.ndarray, "N"]
) -> Float[np.ndarray, "S 58"]:
    """Mean and standard deviation of each Praat feature over the call's sentences.

    A cell that is not a number is left out. A feature that no sentence of a call has is the median
    of the training calls; a call with none at all is NaN.
    """
    each = sentences[list(AUDIO)].apply(pd.to_numeric, errors="coerce").astype(float)
    each = each.where(np.isfinite(each))
    by_call = each.groupby(sentences["call"].to_numpy())
    x = pd.concat([by_call.mean(), by_call.std(ddof=0)], axis=1).reindex(calls).to_numpy()
    median = pd.DataFrame(x[train]).median().fillna(0).to_numpy()
    has_audio = np.isfinite(x).any(1, keepdims=True)
    return np.where(np.isfinite(x) | ~has_audio, x, median)
