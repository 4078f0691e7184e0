"""A planted market as a folder of real files: a ground truth for the way from files to forecasts.

``bars.parquet`` holds one symbol's daily prices, with the numeric features as further columns;
``texts.parquet`` a post of level words a sample; ``sources.parquet`` the source vector; ``images``,
``audio`` and ``video`` a small file a sample, listed in their ``manifest.parquet``. What is missing
has no row and no file. ``truth.parquet`` is for evaluation only: ``read`` never opens it.
"""

import itertools
import wave
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int, UInt8

from fusionjax import files
from fusionjax.data import calendar, media, schema
from fusionjax.data.paths import inside
from fusionjax.errors import InputError
from fusionjax.types import VectorInput
from studies.data.planted import Planted
from studies.names import NUMERIC

SYMBOL, CALENDAR, DECISION_DELAY_MINUTES = "PLANT", "XNYS", 30
SOURCE = tuple(f"source_{i}" for i in range(4))
SUBJECTS = (
    *("sales", "margins", "orders", "guidance", "costs", "cash"),
    *("debt", "demand", "hiring", "exports", "dividends", "stockpiles"),
)
LEVELS = (
    *("collapsed", "crashed", "plunged", "tumbled", "dropped", "slipped", "eased", "held"),
    *("firmed", "improved", "rose", "climbed", "jumped", "surged", "soared"),
)
_STAMPS = ("symbol", "event_time", "available_time")
_FIRST, _LAST = "1990-01-01", "2025-12-31"  # sessions are taken from here, oldest first
_RETURN = 0.01  # size of every session's log return
_BLOCK = 16  # pixels a side: MPEG-4 codes in these, so that a flat one keeps its brightness
_FRAMES = 8
_HERTZ, _SAMPLES, _BAND = 8000, 2000, 400  # rate, length, Hz from tone to tone
# Where a code turns from linear to logarithmic and where it ends. A post has few levels, none of
# them to spare for tails; a file's are 10 % apart, for tails and for what they dwarf.
_POST, _FILE = (2.0, 4.0), (0.01, 1000.0)


def write(planted: Planted, folder: Path, rows: Int[np.ndarray, "S"]) -> None:
    """Renders rows of a planted market, the n-th as the n-th session of the exchange since 1990.

    The return from a sample's session to the next has its training label's sign; one session more
    closes the last. Every item is available an hour before its session's decision. Values are those
    of ``planted.views``, in training standard deviations: exact in tables, within 5 % (0.0005 near
    zero) and up to 1000 in files, within 0.5 (0.2 near zero) and up to 4 in posts.

    Args:
      planted: what ``plant`` made.
      folder: made if need be; files of the same name are replaced.
      rows: rows of ``planted.views``.

    Raises:
      InputError: more rows than sessions up to 2025, or a package is missing.
    """
    media.require_packages()
    days, stamps = _samples(len(rows))
    (folder / "bars.parquet").unlink(missing_ok=True)  # written last: no bars, not finished
    batch, truth = planted.views.batch, planted.truth
    up = np.asarray(batch.targets.label["direction"])[rows, 0] == 1
    present = {name: np.asarray(batch.present[name])[rows] for name in batch.present}
    vectors = {name: v.x for name, v in batch.inputs.items() if isinstance(v, VectorInput)}
    x = {name: np.asarray(v, float)[rows] for name, v in vectors.items()}
    tables = {}
    for name, (kind, suffix, _, encode, _) in _MEDIA.items():
        path = pd.Series([f"{day}.{suffix}" for day in days[:-1]], dtype="str")
        for i in np.flatnonzero(present[name]):
            with files.replaced(folder / kind / path[i]) as f:
                encode(f, _squash(x[name][i], _FILE))
        tables[f"{kind}/manifest"] = stamps.assign(source="planted", path=path)[present[name]]
    post = pd.Series([_post(values) for values in x["text"]], dtype="str")
    tables["texts"] = stamps.assign(author="planted", text=post)[present["text"]]
    source = dict(zip(SOURCE, x["source"].T, strict=True))
    tables["sources"] = stamps.assign(**source)[present["source"]]
    tables["truth"] = pd.DataFrame({"row": rows}).assign(
        probability=truth.probability[rows],
        flipped=truth.flipped[rows],
        corrupted=truth.corrupted[rows],
    )
    numeric = np.where(present["numeric"][:, None], x["numeric"], np.nan)
    numeric = np.pad(numeric, ((0, 1), (0, 0)), constant_values=np.nan)
    tables["bars"] = _bars(days, up).assign(**dict(zip(NUMERIC, numeric.T, strict=True)))
    for name, table in tables.items():
        with files.replaced(folder / f"{name}.parquet") as f:
            table.to_parquet(f, index=False)


def read(folder: Path) -> dict[str, Float[np.ndarray, "S _"]]:
    """Decodes a folder that ``write`` made, one row for each session but the last.

    An item belongs to the first session that decides at or after its ``available_time``.

    Returns:
      By modality, in training standard deviations; NaN rows where an item is missing.

    Raises:
      InputError: a table or file is missing or damaged, a path leaves its folder, or an item
        belongs to no sample or to one that has its item; names the file and the row.
    """
    media.require_packages()
    where = folder / "bars.parquet"
    bars = schema.check_bars(schema.read_table(where), where, CALENDAR)
    _refuse(bars["symbol"] != SYMBOL, where, f"symbol must be {SYMBOL}")
    decided = _decisions(bars["date"].to_numpy().astype("datetime64[D]"))
    vectors = {"numeric": _numbers(bars, NUMERIC, where)[:-1]}

    def place(name: str, values: Float[np.ndarray, "N F"], at: Int[np.ndarray, "N"]) -> None:
        vectors[name] = np.full((len(decided) - 1, values.shape[1]), np.nan)
        vectors[name][at] = values

    where = folder / "texts.parquet"
    table, at = _items(where, ("author", "text"), decided)
    place("text", _levels(table["text"], where), at)
    for name, (kind, suffix, features, _, decode) in _MEDIA.items():
        where = folder / kind / "manifest.parquet"
        table, at = _items(where, ("source", "path"), decided)
        codes = np.empty((len(table), features))
        for row, cell in enumerate(table["path"]):
            path = inside(where, row, cell)
            try:
                codes[row] = decode(path, features)
            except Exception as e:  # decoders meet damage with errors of any class
                raise InputError(
                    f"{path}: cannot be decoded as {suffix} ({e}); it may be truncated: copy it "
                    f"again, or drop row {row} of {where}"
                ) from e
        place(name, _unsquash(codes, _FILE), at)
    where = folder / "sources.parquet"
    table, at = _items(where, SOURCE, decided)
    place("source", _numbers(table, SOURCE, where), at)
    return vectors


def _samples(count: int) -> tuple[np.ndarray, pd.DataFrame]:
    """The sessions of the samples and the one after, and the stamps of every sample's items."""
    import exchange_calendars

    sessions = exchange_calendars.get_calendar(CALENDAR, start=_FIRST, end=_LAST).sessions
    if count >= len(sessions):
        raise InputError(f"rows: {count} given; {CALENDAR} has room for {len(sessions) - 1}")
    days = sessions[: count + 1].to_numpy().astype("datetime64[D]")
    decided = pd.DatetimeIndex(_decisions(days)[:-1], tz="UTC")
    event, available = decided - pd.Timedelta(hours=2), decided - pd.Timedelta(hours=1)
    return days, pd.DataFrame(dict(zip(_STAMPS, (SYMBOL, event, available), strict=True)))


def _decisions(days: np.ndarray) -> np.ndarray:
    return calendar.decision_times(days, CALENDAR, DECISION_DELAY_MINUTES)


def _bars(days: np.ndarray, up: np.ndarray) -> pd.DataFrame:
    close = 100 * np.exp(_RETURN * np.cumsum(np.append(0, np.where(up, 1, -1))))
    opened = np.append(close[0], close[:-1])
    ends = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close)}
    same = {"close": close, "adj_close": close, "volume": 1e6}
    return pd.DataFrame({"symbol": SYMBOL, "date": days.astype("datetime64[s]"), **ends, **same})


def _items(
    where: Path, columns: tuple[str, ...], decided: np.ndarray
) -> tuple[pd.DataFrame, Int[np.ndarray, "N"]]:
    """A table of stamped items and the sample of each."""
    table = schema.read_table(where)
    schema.require_columns(table, (*_STAMPS, *columns), where)
    schema.check_items(table, where)
    at = calendar.first_session_after(calendar.seconds(table["available_time"]), decided)
    _refuse(table["symbol"] != SYMBOL, where, f"symbol must be {SYMBOL}")
    _refuse(at >= len(decided) - 1, where, "available after the last session with a label; drop it")
    _refuse(pd.Series(at).duplicated(), where, "an earlier row has this session; keep one")
    return table, at


def _refuse(bad: npt.ArrayLike, where: Path, why: str) -> None:
    rows = np.flatnonzero(np.asarray(bad))
    if len(rows):
        raise InputError(f"{where}: row {rows[0]}: {why}. {len(rows)} such rows")


def _numbers(
    table: pd.DataFrame, columns: tuple[str, ...], where: Path
) -> Float[np.ndarray, "N F"]:
    schema.require_columns(table, columns, where)
    try:
        return table[list(columns)].to_numpy(float)
    except (TypeError, ValueError) as e:
        raise InputError(f"{where}: {columns[0]} and its like must hold numbers ({e})") from e


def _squash(x: np.ndarray, coding: tuple[float, float]) -> np.ndarray:
    """Values to codes in [0, 1]; what lies beyond the coding's end is cut."""
    scale, end = coding
    return 0.5 + np.arcsinh(np.clip(x, -end, end) / scale) / (2 * np.arcsinh(end / scale))


def _unsquash(code: np.ndarray, coding: tuple[float, float]) -> np.ndarray:
    scale, end = coding
    return scale * np.sinh((2 * code - 1) * np.arcsinh(end / scale))


def _post(values: Float[np.ndarray, "F"]) -> str:
    level = np.minimum(_squash(values, _POST) * len(LEVELS), len(LEVELS) - 1).astype(int)
    return ", ".join(f"{s} {LEVELS[i]}" for s, i in zip(SUBJECTS, level, strict=True))


def _levels(posts: pd.Series, where: Path) -> Float[np.ndarray, "N F"]:
    words = posts.str.extract("^" + ", ".join(f"{s} (\\w+)" for s in SUBJECTS) + "$")
    level = np.stack([pd.Index(LEVELS).get_indexer(pd.Index(words[c])) for c in words], axis=1)
    _refuse(
        (level < 0).any(axis=1), where, f"text must give each of {', '.join(SUBJECTS)} its level"
    )
    return _unsquash((level + 0.5) / len(LEVELS), _POST)


def _expect(actual: object, expected: object) -> None:
    """Checks what a header declares before unpacking, so that no archive bomb is unpacked."""
    if actual != expected:
        raise ValueError(f"holds {actual}, expected {expected}")


def _pixels(code: Float[np.ndarray, "F"]) -> UInt8[np.ndarray, "height width"]:
    return np.tile(np.rint(255 * code).astype(np.uint8).repeat(_BLOCK), (_BLOCK, 1))


def _brightness(pixels: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "F"]:
    return pixels.reshape(_BLOCK, -1, _BLOCK).mean((0, 2)) / 255


def _write_png(f: IO[bytes], code: Float[np.ndarray, "F"]) -> None:
    from PIL import Image

    Image.fromarray(_pixels(code)).save(f, "PNG")


def _read_png(path: Path, features: int) -> Float[np.ndarray, "F"]:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        _expect((image.mode, image.size), ("L", (features * _BLOCK, _BLOCK)))
        image.load()
        return _brightness(np.asarray(image))


def _write_wav(f: IO[bytes], code: Float[np.ndarray, "F"]) -> None:
    hertz = _BAND * np.arange(1, len(code) + 1)
    tones = np.sin(2 * np.pi * hertz[:, None] * np.arange(_SAMPLES) / _HERTZ)
    with wave.open(f, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_HERTZ)
        out.writeframes(np.rint(code @ tones / len(code) * 32767).astype("<i2").tobytes())


def _read_wav(path: Path, features: int) -> Float[np.ndarray, "F"]:
    with wave.open(str(path)) as f:
        _expect((f.getsampwidth(), f.getframerate(), f.getnchannels()), (2, _HERTZ, 1))
        samples = np.frombuffer(f.readframes(_SAMPLES + 1), "<i2") / 32768
    _expect(f"{len(samples)} samples", f"{_SAMPLES} samples")
    amplitude = np.abs(np.fft.rfft(samples)) * 2 / _SAMPLES
    width = _BAND * _SAMPLES // _HERTZ
    bands = amplitude[width // 2 :][: features * width].reshape(features, width)
    return np.sqrt((bands**2).sum(1)) * features


def _write_mp4(f: IO[bytes], code: Float[np.ndarray, "F"]) -> None:
    import av

    luma = _pixels(code)
    height, width = luma.shape
    colour = np.full((height // 2, width), 128, np.uint8)  # none
    frame = av.VideoFrame.from_ndarray(np.concatenate([luma, colour]), format="yuv420p")
    with av.open(f, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=_FRAMES)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(_FRAMES):
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _read_mp4(path: Path, features: int) -> Float[np.ndarray, "F"]:
    import av

    # A stream of one known format: by name and guess, FFmpeg would follow a playlist elsewhere.
    with path.open("rb") as raw, av.open(raw, "r", format="mp4") as container:
        stream = container.streams.video[0]
        size = (features * _BLOCK, _BLOCK, "yuv420p")
        _expect((stream.width, stream.height, stream.pix_fmt), size)
        frames = list(itertools.islice(container.decode(stream), _FRAMES + 1))
    _expect(f"{len(frames)} frames", f"{_FRAMES} frames")
    return np.mean([_brightness(frame.to_ndarray()[:_BLOCK]) for frame in frames], axis=0)


# By modality: its folder, its files' suffix, its features, and how a file is written and read.
_MEDIA: dict[str, tuple[str, str, int, Callable, Callable]] = {
    "chart": ("images", "png", 12, _write_png, _read_png),
    "audio": ("audio", "wav", 8, _write_wav, _read_wav),
    "video": ("video", "mp4", 8, _write_mp4, _read_mp4),
}
