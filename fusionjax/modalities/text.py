"""Modality "text": the newest documents of the last sessions."""

import dataclasses
from typing import TYPE_CHECKING, Any

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.config.sections import STORED_TOKENS
from fusionjax.errors import InputError
from fusionjax.modalities.base import Modality, Parts, Quotes, Reader
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import linen as nn

    from fusionjax.data.store import Market, Texts
    from fusionjax.data.windows import Scaler
    from fusionjax.types import Documents

_QUOTED, _SHOWN = 4, 80  # texts displayed; characters displayed in a list of sources


@MODALITIES.register("text")
@dataclasses.dataclass(frozen=True)
class Text(Modality):
    """A token a document: its sentence vector, its lexicon scores, its age and its author."""

    sessions: int = key(5, "looked back, the newest included")
    max_documents: int = key(32, "the latest that are read")
    author_buckets: int = key(1024, "hash buckets for authors")
    fine_tune: bool = key(
        False,
        "whether the sentence encoder is trained too, at train.pretrained_rate of the learning "
        "rate; otherwise it is frozen",
    )
    max_tokens: int = key(64, "first tokens of each text that fine_tune reads")

    def check(self, name: str, config: Config) -> None:
        need(
            self.max_tokens <= STORED_TOKENS,
            f"modalities.{name}.max_tokens is {self.max_tokens}; {STORED_TOKENS} are stored",
        )

    def require(self, name: str, market: "Market", config: Config) -> None:
        if market.texts is None:
            raise InputError(
                f"config.modalities.{name} wants texts; data.source "
                f"{config.data.source!r} has none, remove the modality"
            )

    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        import numpy as np

        from fusionjax.types import Documents

        texts = _texts(market)

        def read(rows: np.ndarray) -> tuple[Documents, np.ndarray]:
            begin, end = self._range(market, rows)
            index = end[:, None] + np.arange(-self.max_documents, 0)
            mask = index >= begin[:, None]
            index = np.where(mask, index, 0)
            seconds = market.decision_time[rows][:, None] - texts.available_time[index]
            shown = mask[..., None]
            author = np.where(mask, texts.author[index] % self.author_buckets, 0)
            return Documents(
                embedding=np.where(shown, texts.embedding[index], np.float16(0)),
                lexicon=np.where(shown, texts.lexicon[index], np.float32(0)),
                age=np.where(mask, seconds / 3600, 0).astype(np.float32),
                author=author.astype(np.int32),
                mask=mask,
                tokens=np.where(shown, texts.tokens[index, : self.max_tokens], np.uint16(0))
                if self.fine_tune
                else None,
            ), np.asarray(mask.any(1))

        return read

    def _range(self, market: "Market", rows: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """The texts in each row's look-back: index of the first, and one past the last."""
        import numpy as np

        bar, oldest = _texts(market).bar, market.oldest(rows, self.sessions)
        return np.searchsorted(bar, oldest, side="left"), np.searchsorted(bar, rows, side="right")

    def _latest(self, market: "Market", row: int) -> "np.ndarray":
        """Indices of the texts that a row shows, oldest first."""
        import numpy as np

        begin, end = (int(x[0]) for x in self._range(market, np.array([row])))
        return np.arange(max(begin, end - self.max_documents), end)

    def dummy(self, config: Config, rows: int) -> "Documents":
        import numpy as np

        from fusionjax.data.text import EMBEDDING_WIDTH, LEXICON
        from fusionjax.types import Documents

        shape = rows, self.max_documents
        return Documents(
            embedding=np.zeros((*shape, EMBEDDING_WIDTH), np.float16),
            lexicon=np.zeros((*shape, len(LEXICON)), np.float32),
            age=np.zeros(shape, np.float32),
            author=np.zeros(shape, np.int32),
            mask=np.zeros(shape, bool),
            tokens=np.zeros((*shape, self.max_tokens), np.uint16) if self.fine_tune else None,
        )

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.models.encoders.text import TextEncoder

        return TextEncoder(self.author_buckets, config, deterministic)

    def pretrained(self) -> dict[str, Any]:
        if not self.fine_tune:
            return {}
        from fusionjax.data.text import pretrained_weights

        return {"bert": pretrained_weights()}

    def augment(self, value: "Documents", settings: AugmentConfig, key: "jax.Array") -> "Documents":
        """Drops random texts, never the newest; hides the authors of random samples."""
        import jax
        import jax.numpy as jnp

        drop_key, author_key = jax.random.split(key)
        if settings.text_dropout:
            keep = jax.random.bernoulli(drop_key, 1 - settings.text_dropout, value.mask.shape)
            value = dataclasses.replace(value, mask=value.mask & keep.at[:, -1].set(True))
        if settings.author_masking:
            rows = len(value.author)
            hidden = jax.random.bernoulli(author_key, settings.author_masking, (rows, 1))
            value = dataclasses.replace(value, author=jnp.where(hidden, 0, value.author))
        return value

    def pooled(self, value: "Documents", present: "np.ndarray") -> "np.ndarray":
        """Log of the number of texts, mean lexicon scores, mean embedding."""
        import numpy as np

        from fusionjax.modalities.summary import known_mean

        shown = value.mask[..., None]
        return np.concatenate(
            [
                np.log1p(value.mask.sum(1, keepdims=True)),
                known_mean(np.where(shown, value.lexicon, np.nan)),
                known_mean(np.where(shown, value.embedding.astype(np.float32), np.nan)),
            ],
            axis=1,
        )

    def of_one_session(self) -> "Text":
        return dataclasses.replace(self, sessions=1)

    def daily(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        import numpy as np

        if market.texts is None:
            return {}
        count = np.bincount(market.texts.bar, minlength=len(market.session))[rows]
        return {"input texts a stock": np.log1p(count)}

    def sources(self, market: "Market", data: DataConfig, row: int) -> list[str]:
        return [f"text of {words}" for words in self._told(market, row)]

    def _told(self, market: "Market", row: int) -> list[str]:
        """When each text that a row shows was written, by whom, and how it begins."""
        from fusionjax.data.provenance import moment

        texts, at = _texts(market), self._latest(market, row)
        originals = texts.read(at) if texts.records else [""] * len(at)
        return [
            f"{moment(texts.event_time[i])} by {texts.names[int(texts.author[i])]}: "
            f"{' '.join(words.split())[:_SHOWN]}"
            for i, words in zip(at.tolist(), originals, strict=True)
        ]

    def parts(self, value: "Documents", market: "Market", row: int) -> list[Parts]:
        """Its documents, each by the place that it has among the newest."""
        import numpy as np

        from fusionjax.types import Documents

        own = np.eye(self.max_documents, dtype=bool)[np.flatnonzero(value.mask)]
        features = own[..., None]
        tokens = None if value.tokens is None else features
        inside = Documents(features, features, own, own, own, tokens)
        return [Parts("document", self._told(market, row), inside)]

    def picture(self, value: "Documents", market: "Market", row: int) -> Quotes:
        """The newest texts that the model sees, in the original."""
        texts, at = _texts(market), self._latest(market, row)[::-1]
        newest = at[:_QUOTED]
        names = [texts.names.get(int(texts.author[i])) or "(no author)" for i in newest]
        return Quotes([*zip(names, texts.read(newest), strict=True)], len(at) - len(newest))


def _texts(market: "Market") -> "Texts":
    assert market.texts is not None, "checked by require()"
    return market.texts
