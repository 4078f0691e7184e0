"""Base of the modalities that read files: a sample shows the newest item of some sessions."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fusionjax.config import Config, DataConfig
from fusionjax.config.key import key
from fusionjax.errors import InputError
from fusionjax.modalities.base import Modality, Reader

if TYPE_CHECKING:
    import numpy as np

    from fusionjax.data.store import Market
    from fusionjax.data.windows import Scaler
    from fusionjax.types import Input


@dataclasses.dataclass(frozen=True)
class Media(Modality):
    """The newest item of the last ``sessions`` sessions; absent if there is none.

    Attributes:
      dtype: of a decoded file.
      also: other kinds by manifest column: a file is also an item of that kind where it is true.
    """

    sessions: int = key(5, "looked back, the newest included")
    dtype: ClassVar[str] = "uint8"
    also: ClassVar[Mapping[str, str]] = {}

    @staticmethod
    @abc.abstractmethod
    def shape(data: DataConfig) -> tuple[int, ...]:
        """Shape of a decoded file."""

    @staticmethod
    @abc.abstractmethod
    def decoder(data: DataConfig) -> "Callable[[Path], tuple[np.ndarray, int]]":
        """``decode(path) -> (array, length)``; the length excludes padding.

        ``decode`` may raise any error for a file that cannot be used, best ``media.Undecodable``.

        Raises:
          InputError: a package for decoding is not installed.
        """

    @classmethod
    def flaw(cls, content: "np.ndarray", length: int) -> str:
        """Why a decoded file seems empty, in a word for the audit; "" if it does not."""
        return "constant" if content.min() == content.max() else ""

    @abc.abstractmethod
    def input(self, content: "np.ndarray", length: "np.ndarray") -> "Input":
        """The input from decoded files [B, ...] and their lengths [B]; absent files are zeros."""

    def require(self, name: str, market: "Market", config: Config) -> None:
        if self.kind not in market.media:
            raise InputError(
                f"config.modalities.{name} wants {self.kind}; data.source "
                f"{config.data.source!r} has none, remove the modality"
            )

    def newest(
        self, market: "Market", rows: "np.ndarray"
    ) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
        """Content and length of each row's newest item, and whether it has one."""
        import numpy as np

        media, (index, present) = market.media[self.kind], self._newest(market, rows)
        content = np.zeros((len(rows), *media.shape), media.dtype)
        if present.any():
            content[present] = media.read(index[present])
        return content, np.where(present, media.length[index], 0).astype(np.int32), present

    def _newest(self, market: "Market", rows: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """Index of each row's newest item, and whether it has one."""
        import numpy as np

        bar = market.media[self.kind].bar
        index = np.searchsorted(bar, rows, side="right") - 1
        return index, (index >= 0) & (bar[index] >= market.oldest(rows, self.sessions))

    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        def read(rows: "np.ndarray") -> "tuple[Input, np.ndarray]":
            content, length, present = self.newest(market, rows)
            return self.input(content, length), present

        return read

    def dummy(self, config: Config, rows: int) -> "Input":
        import numpy as np

        content = np.zeros((rows, *self.shape(config.data)), self.dtype)
        return self.input(content, np.zeros(rows, np.int32))

    def of_one_session(self) -> "Media":
        return dataclasses.replace(self, sessions=1)

    def sources(self, market: "Market", data: DataConfig, row: int) -> list[str]:
        import numpy as np

        index, present = self._newest(market, np.array([row]))
        path = market.media[self.kind].path
        return [f"{data.root}/{self.kind}: {path[i]}" for i in index[present]]
