"""Work that several processes or machines share: each embeds and decodes a share of the contents.

They need one file system and nothing else. A content is stored by what it is, so what a share has
stored is found by whoever prepares the set, by other shares and by the same share started again.
"""

import dataclasses
import re
import zlib
from pathlib import Path

import numpy as np
from rich.progress import Progress

from fusionjax.config import DataConfig
from fusionjax.data import contents, items, join
from fusionjax.data.hashes import Hashes
from fusionjax.data.prepare import HASHES, decisions_of, writing
from fusionjax.errors import InputError
from fusionjax.registry import SOURCES


@dataclasses.dataclass(frozen=True)
class Share:
    """One of ``count`` shares, from 0 on."""

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> "Share":
        """The share that ``text`` names, such as 0/8.

        Raises:
          InputError: it names none.
        """
        numbers = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if numbers is None or int(numbers[1]) >= int(numbers[2]):
            raise InputError(f"--share is {text!r}; expected 0/N to N-1/N, such as 0/8 of eight")
        return Share(int(numbers[1]), int(numbers[2]))

    def has(self, name: str) -> bool:
        """Whether a text or path is of this share. Depends on nothing else."""
        return zlib.crc32(name.encode()) % self.count == self.index


def store(config: DataConfig, share: Share, progress: Progress) -> dict[str, int]:
    """Embeds the texts and decodes the files of one share that are not stored yet.

    Reads the tables whole, and of media files its own only. Killed, it loses the part that it was
    at work on, about a minute; started again it goes on.

    Args:
      config: source, root and settings.
      share: which texts and files.
      progress: shows how far it is.

    Returns:
      How many texts, and files of each kind, are of this share and stored now.

    Raises:
      InputError: as ``prepare.prepare``.
    """
    root, home = Path(config.root), Path(config.prepared)
    hashes = Hashes(home / HASHES)

    def content(path: str) -> str:
        return hashes.of(root / path)[:32] if share.has(path) else ""

    raw = SOURCES[config.source].read(root, config.calendar)
    tables, _ = join.place(raw, decisions_of(raw, config), content)
    stored = {}
    contents.import_tfds(progress)
    with writing(home):
        if len(tables.documents):
            texts = np.unique(tables.documents["text"].to_numpy(object))
            own = texts[[share.has(text) for text in texts]]
            items.store_texts(home / contents.HOME / items.text_folder(), own, progress)
            stored["text"] = len(own)
        for kind, table in tables.media.items():
            mine = table[[share.has(path) for path in table["path"]]]
            unusable = items.store_files(kind, mine, config, content, progress)
            stored[kind] = mine["path"].nunique() - unusable
    hashes.save()
    return stored
