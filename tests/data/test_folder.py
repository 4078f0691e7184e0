"""A market folder: every format, joined in time, bad files set aside, bad tables refused."""

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import seeing, small
from PIL import Image
from rich.progress import Progress

from fusionjax.config import Config, DataConfig
from fusionjax.data import contents, media, prepare, store
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.sources import folder as source
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate.forecast import row_at

DAYS = pd.bdate_range("2024-05-01", "2024-05-24")  # no holiday in New York among them
MODALITIES = {
    "price": {"kind": "numeric", "sessions": 4, "patch": 2, "channels": ("ret", "mood")},
    "image": {"kind": "image", "sessions": 2, "patch": 4},
    "audio": {
        "kind": "audio",
        "sessions": 3,
        "hertz": 8000,
        "window": 400,
        "hop": 200,
        "mels": 16,
        "patch": 3,
    },
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two symbols; three pictures, one of them of both and one damaged; a clip of sound."""
    root = tmp_path / "market"
    rng = np.random.default_rng(0)
    rows = []
    for symbol in ("AÅ", "币安"):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(DAYS))))
        rows += [
            (symbol, f"{day:%Y-%m-%d}", c, c * 1.01, c * 0.99, c, c, 1e6, mood)
            for day, c, mood in zip(DAYS, close, rng.normal(size=len(DAYS)), strict=True)
        ]
    columns = ["symbol", "date", "open", "high", "low", "close", "adj_close", "volume", "mood"]
    (root / "images").mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).to_csv(root / "bars.csv", index=False)
    for name, level in (("a.png", 40), ("b.jpg", 200)):
        Image.new("L", (20, 10), level).save(root / "images" / name)
    (root / "images" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    manifest(
        root / "images",
        [
            # 15:59 in New York, a minute before the close; then a date alone: over at midnight.
            ("AÅ|币安", "2024-05-10T15:59:00-04:00", "2024-05-10T15:59:00-04:00", "büro", "a.png"),
            ("AÅ", "2024-05-14", "2024-05-14", "büro", "b.jpg"),
            ("币安", "2024-05-15T10:00:00Z", "2024-05-15T10:00:00Z", "büro", "bad.png"),
        ],
    )
    (root / "audio").mkdir()
    soundfile.write(root / "audio" / "call.flac", np.full(4000, 0.25), 8000)
    manifest(
        root / "audio",
        [("币安", "2024-05-16T17:00:00-04:00", "2024-05-16T18:00:00-04:00", "ir", "call.flac")],
    )
    return root


def manifest(folder: Path, rows: list[tuple[str, ...]]) -> None:
    names = ("symbol", "event_time", "available_time", "source", "path")
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")


def change(root: Path, row: int, **cells: object) -> None:
    """Other cells in one row of the pictures' manifest."""
    path = root / "images" / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[row] |= cells
    path.write_text("\n".join(json.dumps(line) for line in lines))


def config(root: Path, tmp_path: Path) -> Config:
    c = seeing(MODALITIES)
    c.data.image_size, c.data.audio_sample_rate, c.data.audio_seconds = (4, 8), 8000, 1.0
    c.data.splits.train = c.data.splits.dev = ("2024-05-01", "2024-05-24")
    return small(
        c,
        tmp_path / "prepared",
        data__source="folder",
        data__root=str(root),
    )


def prepared(c: Config) -> tuple[Path, Market]:
    folder = prepare.prepare(c.data, Progress(disable=True))
    return folder, store.load(folder)


def parts_of(folder: Path, kind: str) -> dict[Path, int]:
    """The parts of the contents of a kind that a set shows, and when each was written."""
    home = store.read_manifest(folder)["contents"][kind]
    return {
        p: p.stat().st_mtime_ns for p in (folder.parent / "contents" / home).iterdir() if p.is_dir()
    }


def row_of(market: Market, symbol: str, day: str) -> int:
    at = (market.symbol == market.symbols.index(symbol)) & (market.session == np.datetime64(day))
    return int(np.flatnonzero(at)[0])


def test_items_reach_the_first_decision_that_may_know_them(root: Path, tmp_path: Path) -> None:
    c = config(root, tmp_path)
    _, market = prepared(c)
    windows = Windows(market, c, Scaler.fit(market, np.datetime64("2024-05-24")))

    def level(symbol: str, day: str) -> float | None:
        """What the picture shows, or None where there is none."""
        row = np.array([row_of(market, symbol, day)])
        batch = next(evaluation_batches(row, windows, 1))
        pixels = batch.inputs["image"].pixels[0]
        assert pixels.shape == (4, 8)
        return float(pixels.mean()) if batch.present["image"][0] else None

    assert level("AÅ", "2024-05-09") is None
    assert level("AÅ", "2024-05-10") == level("币安", "2024-05-10") == 40
    assert level("币安", "2024-05-13") == 40  # two sessions are looked back
    assert level("币安", "2024-05-14") is None
    assert level("AÅ", "2024-05-14") is None  # a date alone is over after that day's decision
    assert abs(level("AÅ", "2024-05-15") - 200) < 3
    assert level("币安", "2024-05-15") is None  # its file is damaged

    def heard(day: str) -> int:
        row = np.array([row_of(market, "币安", day)])
        return int(next(evaluation_batches(row, windows, 1)).inputs["audio"].length[0])

    assert [heard(d) for d in ("2024-05-16", "2024-05-17", "2024-05-21", "2024-05-22")] == [
        *(0, 4000, 4000, 0)
    ]


def test_columns_beside_the_bars_are_channels(root: Path, tmp_path: Path) -> None:
    _, market = prepared(config(root, tmp_path))
    mood = pd.read_csv(root / "bars.csv")["mood"].to_numpy(np.float32)
    np.testing.assert_array_equal(market.channels[:, market.columns(("mood",))[0]], mood)


def test_columns_of_words_beside_the_bars_are_left_out_and_named(
    root: Path, tmp_path: Path
) -> None:
    bars = pd.read_csv(root / "bars.csv")
    bars.assign(currency="USD", updated="2024-05-30", none=np.nan).to_csv(
        root / "bars.csv", index=False
    )
    _, market = prepared(config(root, tmp_path))
    assert {"mood", "none"} < set(market.channel_names)
    assert not {"currency", "updated"} & set(market.channel_names)
    why = "of bars.csv: holds no numbers, so it is no channel"
    assert market.notes[:2] == (f"column currency {why}", f"column updated {why}")


def test_what_lies_beside_the_right_names_is_told(root: Path) -> None:
    (root / "news.jsonl").write_text("{}")
    (root / "Texts.csv.gz").write_bytes(b"")
    (root / "pictures").mkdir()
    (root / "pictures" / "manifest.csv").write_text("")
    (root / "videos").mkdir()
    for mine in ("notes.md", "prepared", "README"):  # not taken for data
        (root / mine).mkdir()
    (note,) = source.read(root, "XNYS").notes
    assert note == (
        "Texts.csv.gz, news.jsonl, pictures/, videos/: not read; expected bars.parquet|csv, "
        "texts.parquet|jsonl|csv, facts.parquet|jsonl|csv, events.parquet|jsonl|csv, "
        "members.parquet|csv, "
        "sessions.parquet|csv, images/, audio/, video/, frames/"
    )


def test_a_folder_without_bars_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        source.read(tmp_path / "nowhere", "XNYS")
    (tmp_path / "Bars.csv").write_text("")
    with pytest.raises(InputError, match=r"holds neither bars.parquet nor bars.csv but Bars.csv;"):
        source.read(tmp_path, "XNYS")


def test_a_file_whose_name_is_spelled_as_macos_does_is_found(root: Path, tmp_path: Path) -> None:
    composed, apart = "caf\u00e9/b\u00fcro.png", "cafe\u0301/bu\u0308ro.png"
    (root / "images" / apart).parent.mkdir()
    (root / "images" / "a.png").rename(root / "images" / apart)
    change(root, 0, path=composed)
    folder, market = prepared(config(root, tmp_path))
    assert len(market.media["image"].bar) == 3
    assert f"images/{apart}" in market.media["image"].path
    assert not any("missing" in n for n in json.loads((folder / "manifest.json").read_text()))
    (tmp_path / "bu\u0308ro.png").write_bytes(b"secret")
    (root / "images" / "bu\u0308ro.png").symlink_to(tmp_path / "bu\u0308ro.png")
    change(root, 0, path="b\u00fcro.png")
    assert source.read(root, "XNYS").media["image"]["path"][0] == "images/b\u00fcro.png"


def test_a_symbol_is_found_in_either_form_of_unicode(root: Path, tmp_path: Path) -> None:
    c = config(root, tmp_path)
    table = pd.read_csv(root / "bars.csv")
    apart = table["symbol"].str.normalize("NFD")
    assert (apart != table["symbol"]).any()
    table.assign(symbol=apart).to_csv(root / "bars.csv", index=False)
    _, market = prepared(c)
    assert market.symbols == ("AÅ", "币安")
    for form in ("A\u00c5", "AA\u030a"):
        assert row_at(market, c.data, form, "2024-05-24") == row_of(market, "AÅ", "2024-05-24")


def test_a_damaged_file_is_set_aside_and_named(root: Path, tmp_path: Path) -> None:
    folder, market = prepared(config(root, tmp_path))
    notes = json.loads((folder / "manifest.json").read_text())["notes"]
    assert any(n.startswith("image images/bad.png: is not a PNG, JPEG") for n in notes)
    assert sorted(market.media["image"].path) == ["images/a.png"] * 2 + ["images/b.jpg"]
    assert len(np.unique(market.media["image"].record)) == 2  # one file, stored once
    change(root, 0, path="gone.png")
    notes = json.loads((prepared(config(root, tmp_path))[0] / "manifest.json").read_text())["notes"]
    assert "image images/gone.png: missing" in notes


def test_a_damaged_record_is_told_when_it_is_read(root: Path, tmp_path: Path) -> None:
    """What a set holds of media is read as it is asked for, in the middle of a training."""
    folder, market = prepared(config(root, tmp_path))
    images = market.media["image"]
    (part,) = parts_of(folder, "image")
    (records,) = part.rglob("*.array_record*")
    whole = records.read_bytes()
    records.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"array_record.* is not as it was written .*delete"):
        images.read(np.arange(3))
    records.write_bytes(whole)
    assert images.read(np.arange(3)).shape[1:] == (4, 8)


def test_a_record_that_cannot_be_read_though_it_is_whole_is_not_to_be_deleted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, market = prepared(config(root, tmp_path))

    @functools.cache
    def failing(part: Path) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(contents, "_source", failing)
    with pytest.raises(InputError, match="Too many open files.*though its files are whole$"):
        market.media["image"].read(np.arange(3))


def test_a_changed_file_makes_another_set_and_an_unchanged_folder_does_not(
    root: Path, tmp_path: Path
) -> None:
    c = config(root, tmp_path)
    first, _ = prepared(c)
    assert prepared(c)[0] == first
    Image.new("L", (20, 10), 41).save(root / "images" / "a.png")
    assert prepared(c)[0] != first
    assert prepared(c.override({"data.image_size": (8, 8)}))[0] != prepared(c)[0]


def test_rows_in_another_order_are_the_same_set(root: Path, tmp_path: Path) -> None:
    c = config(root, tmp_path)
    folder, market = prepared(c)
    before = parts_of(folder, "image")
    path = root / "images" / "manifest.jsonl"
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    again, other = prepared(c)
    assert again != folder, "the raw files differ"
    assert parts_of(again, "image") == before
    same_fields(market.media["image"], other.media["image"], ("record", "records"))
    Image.new("L", (20, 10), 90).save(root / "images" / "bad.png")
    _, market = prepared(c)
    assert len(market.media["image"].bar) == 4, "the repaired picture, and no other, is new"


def test_what_lies_beside_the_data_does_not_count(root: Path, tmp_path: Path) -> None:
    c = config(root, tmp_path).override({"data.prepared": str(root / "prepared")})
    first, _ = prepared(c)
    (root / "notes.txt").write_text("mine")
    assert prepared(c)[0] == first


def test_what_a_link_leads_to_outside_is_not_even_hashed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "images" / "own.png").symlink_to("a.png")
    (root / "images" / "loop.png").symlink_to("loop.png")
    listed = {p.name for p in source.files(root)}
    assert listed >= {"a.png", "own.png"}
    assert not listed & {"link.png", "loop.png"}


def test_a_long_text_does_not_make_the_others_as_wide(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand posts beside one of a megabyte would take 4 GB."""
    stamp = "2024-05-09T10:00:00Z"
    write_texts(root, [("AÅ", stamp, "x" * 1_000_000), *[("AÅ", stamp, "up")] * 1000])
    read = prepare.items.text_features
    taken = []

    def text_features(home: Path, texts: np.ndarray, progress: Progress) -> tuple:
        taken.append(texts.nbytes)
        return read(home, texts, progress)

    monkeypatch.setattr(prepare.items, "text_features", text_features)
    prepared(config(root, tmp_path))
    assert 0 < sum(taken) < 100_000


def test_items_before_1970_meet_their_own_bars(root: Path, tmp_path: Path) -> None:
    old = pd.bdate_range("1969-12-22", "1970-01-09").difference(
        pd.to_datetime(["1969-12-25", "1970-01-01"])
    )
    bars = pd.read_csv(root / "bars.csv")
    few = bars.groupby("symbol").head(len(old))
    few.assign(date=[f"{d:%Y-%m-%d}" for d in [*old, *old]]).to_csv(root / "bars.csv", index=False)
    stamp = "1969-12-24T10:00:00Z"
    manifest(root / "images", [("币安", stamp, stamp, "büro", "a.png")])
    shutil.rmtree(root / "audio")
    _, market = prepared(config(root, tmp_path))
    (bar,) = market.media["image"].bar
    assert market.symbols[market.symbol[bar]] == "币安"
    assert market.session[bar] == np.datetime64("1969-12-24")


def test_interrupted_it_goes_on_and_ends_the_same(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = config(root, tmp_path)
    folder, market = prepared(c)
    whole = (folder / "manifest.json").read_text()
    shutil.rmtree(tmp_path / "prepared")
    write = prepare.store.write

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare.store, "write", full)
    with pytest.raises(InputError, match=r"No space left on device\); make room there"):
        prepared(c)
    assert not folder.exists()
    (folder.parent / f"{folder.name}.tmp").mkdir()  # what a kill leaves
    monkeypatch.setattr(prepare.store, "write", write)
    monkeypatch.setattr(prepare.items.media, "decoder", once_more())
    again, last = prepared(c)
    assert again == folder
    assert (folder / "manifest.json").read_text() == whole
    np.testing.assert_array_equal(
        last.media["image"].read(np.arange(3)), market.media["image"].read(np.arange(3))
    )
    assert not list(folder.parent.glob("*.tmp"))


def once_more() -> Callable:
    """A decoder of nothing but the file that is damaged, which is tried each time."""
    decoder = media.decoder

    def only_bad(kind: str, data: DataConfig) -> Callable:
        decode = decoder(kind, data)

        def guarded(path: Path) -> tuple[np.ndarray, int]:
            assert path.name == "bad.png", "decoded once more"
            return decode(path)

        return guarded

    return only_bad


def test_files_of_which_none_can_be_used_are_an_error(root: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (root / "images" / name).write_bytes(b"not a picture")
    with pytest.raises(InputError, match="none of the 3 files of kind image can be used; images/a"):
        prepared(config(root, tmp_path))
    assert not list((tmp_path / "prepared").glob("*/manifest.json"))


def test_items_that_came_too_late_for_any_decision_are_counted(root: Path, tmp_path: Path) -> None:
    late = "2024-06-03T10:00:00Z"
    manifest(root / "audio", [("币安", late, late, "ir", "call.flac")])
    folder, market = prepared(config(root, tmp_path))
    assert market.media.keys() == {"image"}
    notes = json.loads((folder / "manifest.json").read_text())["notes"]
    assert "1 items of audio after the last decision of their symbol: not used" in notes


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda r: change(r, 0, path="../../secret.png"), "manifest.jsonl: row 0: path .* leaves"),
        (lambda r: change(r, 1, path="/etc/passwd"), "row 1: path '/etc/passwd' leaves"),
        (lambda r: change(r, 1, path="x/" * 3000), "row 1: path .* is not a file name .*too long"),
        (lambda r: change(r, 1, path="\udcff.png"), "jsonl: .*surrogates"),
        (lambda r: change(r, 0, source=["büro"]), "manifest.jsonl: row 0 .*source must be text"),
        (lambda r: change(r, 0, event={"a": 1}), "manifest.jsonl: row 0 .*event must be text"),
        (lambda r: change(r, 0, event_time="2024-05-10T15:59:00"), "row 0 .*has no time zone"),
        (lambda r: change(r, 2, available_time="soon"), "row 2 .*available_time is not ISO 8601"),
        (lambda r: change(r, 2, available_time="2024-05-14T00:00:00Z"), "available before it hap"),
        (lambda r: change(r, 2, available_time="2199-01-01T00:00:00Z"), "is in the future"),
        (lambda r: change(r, 2, available_time="2999-01-01T00:00:00Z"), "future|1800 to 2199"),
        (lambda r: change(r, 1, event_time="0001-01-01"), "row 1 .*event_time: .*1800 to 2199"),
        (lambda r: change(r, 0, symbol="AÅ|AÅ"), "row 0: names a symbol twice"),
        (lambda r: (r / "bars.csv").unlink(), "holds neither bars.parquet nor bars.csv"),
        (lambda r: (r / "audio" / "manifest.jsonl").unlink(), "files without a manifest cannot"),
        (
            lambda r: (r / "images" / "manifest.csv").write_text("symbol\n"),
            "holds manifest.jsonl and manifest.csv; keep one",
        ),
        (
            lambda r: (r / "bars.csv").write_text(
                (r / "bars.csv").read_text().replace("mood", "ret")
            ),
            "column ret is also computed from prices",
        ),
        (
            lambda r: (r / "bars.csv").write_text(
                (r / "bars.csv").read_text().rstrip().rsplit(",", 1)[0] + ",gloomy\n"
            ),
            "row 35 .*mood is not a number",
        ),
        (
            lambda r: (r / "bars.csv").write_text(
                (r / "bars.csv").read_text().replace("mood", "session")
            ),
            "column session is a reserved name; rename it",
        ),
        (lambda r: change(r, 1, id="x"), "row 0 .*id is missing; fill all or drop the column"),
        (
            lambda r: (r / "images" / "manifest.jsonl").write_text('{"symbol": "AÅ", "path'),
            "manifest.jsonl: cannot be read as jsonl",
        ),
        (
            lambda r: (r / "images" / "manifest.jsonl").write_text('{"symbol": "AÅ"}\n'),
            "manifest.jsonl: lacks column event_time, available_time, source, path",
        ),
    ],
)
def test_bad_tables_are_refused_and_nothing_is_left(
    root: Path, tmp_path: Path, how: Callable[[Path], object], message: str
) -> None:
    how(root)
    with pytest.raises(InputError, match=message):
        prepared(config(root, tmp_path))
    assert not list((tmp_path / "prepared").glob("*/manifest.json"))


def test_an_undated_item_is_refused(root: Path) -> None:
    change(root, 0)
    path = root / "images" / "manifest.jsonl"
    path.write_text(path.read_text().replace('"2024-05-14"', "null", 1))
    with pytest.raises(InputError, match="row 1 .*event_time is missing; an undated item has no"):
        source.read(root, "XNYS")


def test_items_without_prices_are_counted(root: Path) -> None:
    change(root, 1, symbol="ZZ")
    assert "1 items of ZZ in manifest.jsonl: no prices" in source.read(root, "XNYS").notes


def test_a_modality_that_the_folder_lacks_is_refused(root: Path, tmp_path: Path) -> None:
    c = config(root, tmp_path)
    _, market = prepared(c)
    lacking = dataclasses.replace(market, media={})
    with pytest.raises(InputError, match="modalities.image wants image; data.source 'folder' has"):
        Windows(lacking, c, Scaler.fit(market, np.datetime64("2024-05-24")))


def grow(root: Path) -> None:
    """Another session, another picture of an old day, and the damaged picture repaired."""
    bars = pd.read_csv(root / "bars.csv", float_precision="round_trip")
    last = bars.groupby("symbol").tail(1)
    bars = pd.concat([bars, last.assign(date="2024-05-28")])
    bars.sort_values(["symbol", "date"]).to_csv(root / "bars.csv", index=False)
    Image.new("L", (20, 10), 90).save(root / "images" / "bad.png")
    Image.new("L", (20, 10), 120).save(root / "images" / "new.png")
    path = root / "images" / "manifest.jsonl"
    stamp = "2024-05-09T10:00:00Z"
    item = {"symbol": "AÅ", "event_time": stamp, "available_time": stamp, "source": "Ρόιτερς"}
    path.write_text(path.read_text() + json.dumps({**item, "path": "new.png"}) + "\n")


def write_texts(root: Path, posts: list[tuple[str, str, str]]) -> None:
    table = pd.DataFrame(posts, columns=["symbol", "available_time", "text"])
    table.assign(event_time=table["available_time"]).to_csv(root / "texts.csv", index=False)


def same_fields(a: object, b: object, skip: tuple[str, ...]) -> None:
    for field in dataclasses.fields(a):  # type: ignore[arg-type]
        if field.name not in skip:
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def same_market(a: Market, b: Market) -> None:
    same_fields(a, b, ("texts", "media", "notes"))
    assert a.texts is not None
    assert b.texts is not None
    same_fields(a.texts, b.texts, ("record", "records"))  # where a text lies may differ
    all_texts = np.arange(len(a.texts.bar))
    assert a.texts.read(all_texts) == b.texts.read(all_texts)
    assert a.media.keys() == b.media.keys() == {"image", "audio"}
    for kind, x in a.media.items():
        same_fields(x, b.media[kind], ("record", "records"))
        every = np.arange(len(x.bar))
        np.testing.assert_array_equal(x.read(every), b.media[kind].read(every))


def test_a_set_that_grew_equals_one_made_at_once(root: Path, tmp_path: Path) -> None:
    c = config(root, tmp_path)
    tied = [("AÅ", "2024-05-09T10:00:00Z", text) for text in ("up", "down", "up", "no news")]
    write_texts(root, tied)
    before, old = prepared(c)
    stamps = {kind: parts_of(before, kind) for kind in ("text", "image", "audio")}
    grow(root)
    later = [("币安", "2024-05-09T10:00:00Z", "up"), ("币安", "2024-05-28T10:00:00Z", "fall")]
    write_texts(root, [*later, *tied, ("AÅ", "2024-05-09T10:00:00Z", "up")])
    after, new = prepared(c)
    for kind, count in (("text", 1), ("image", 1), ("audio", 0)):
        assert stamps[kind].items() <= parts_of(after, kind).items(), "stored again"
        assert len(parts_of(after, kind)) == 1 + count
    data = store.read_manifest(after)
    assert data["media"] == {"image": 5, "audio": 1}
    assert data["documents"] == 7
    assert not any("bad.png" in note for note in data["notes"])
    assert len(new.session) == len(old.session) + 2
    at_once = prepared(c.override({"data.prepared": str(tmp_path / "other")}))[1]
    assert at_once.fingerprint == new.fingerprint
    same_market(new, at_once)
    same_market(store.load(before), old)  # whoever was trained on the old set still has it


@pytest.mark.parametrize("column", ["adj_close", "volume"])
def test_a_restated_price_decodes_and_embeds_nothing_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    c = config(root, tmp_path)
    write_texts(root, [("AÅ", "2024-05-09T10:00:00Z", "up")])
    before, old = prepared(c)
    bars = pd.read_csv(root / "bars.csv", float_precision="round_trip")
    bars.loc[3, column] *= 1.01
    bars.to_csv(root / "bars.csv", index=False)
    stamps = {kind: parts_of(before, kind) for kind in ("text", "image", "audio")}
    monkeypatch.setattr(prepare.items.media, "decoder", once_more())
    monkeypatch.setattr(prepare.items.text, "featuriser", lambda _: pytest.fail("embedded again"))
    after, new = prepared(c)
    assert after != before
    assert {kind: parts_of(after, kind) for kind in stamps} == stamps
    assert (new.adj_close != old.adj_close).sum() == (column == "adj_close")
    assert (new.ohlcv[:, 4] != old.ohlcv[:, 4]).sum() == (column == "volume")
    for kind, x in old.media.items():
        every = np.arange(len(x.bar))
        np.testing.assert_array_equal(x.read(every), new.media[kind].read(every))


def test_two_items_of_one_id_are_refused(root: Path) -> None:
    change(root, 0, id="a")
    change(root, 1, id="b")
    change(root, 2, id="a")
    with pytest.raises(InputError, match="manifest.jsonl: row 2 .*this id appeared before"):
        source.read(root, "XNYS")


def test_events_whose_items_do_not_pair_up_are_told(root: Path) -> None:
    for row in range(3):
        change(root, row, event="call")
    lines = pd.DataFrame({"symbol": "AÅ", "event_time": "2024-05-10", "event": ["call"] * 2})
    lines = lines.assign(available_time=lines["event_time"], text="We grew")
    lines.to_csv(root / "texts.csv", index=False)
    (description,) = source.read(root, "XNYS").misaligned
    assert description == "event call: 2 in texts.csv, 3 in images/manifest.jsonl"


def test_frames_are_scaled_on_training_items_and_a_dirty_frame_is_masked(
    root: Path, tmp_path: Path
) -> None:
    (root / "frames").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i, day in enumerate(("2024-05-08", "2024-05-10", "2024-05-22")):
        x = rng.normal(300, 40, (5, 2)) * (10 if i == 2 else 1)
        table = pd.DataFrame(x, columns=["pitch", "loudness"]).astype(object)
        table.iloc[1, 0] = "--undefined--"
        table.to_csv(root / "frames" / f"{i}.csv", index=False)
        rows.append(("AÅ", f"{day}T10:00:00Z", f"{day}T10:00:00Z", "praat", f"{i}.csv"))
    manifest(root / "frames", rows)
    c = seeing({"voice": {"kind": "frames", "sessions": 1, "patch": 3}})
    c.data.max_frames, c.data.frame_features = 6, 2
    c.data.splits.train = c.data.splits.dev = ("2024-05-01", "2024-05-24")
    made_config = small(c, tmp_path / "prepared", data__source="folder", data__root=str(root))
    _, market = prepared(made_config)
    scaler = Scaler.fit(market, np.datetime64("2024-05-15"))  # the third is later, and ten times
    assert 250 < scaler.mean["frames[0]"] < 350
    windows = Windows(market, made_config, scaler)
    at = np.array([row_of(market, "AÅ", d) for d in ("2024-05-08", "2024-05-09", "2024-05-10")])
    batch = next(evaluation_batches(at, windows, 3))
    series = batch.inputs["voice"]
    np.testing.assert_array_equal(batch.present["voice"], [True, False, True])
    np.testing.assert_array_equal(series.mask[0], [True, False, True, True, True, False])
    seen = np.concatenate([series.x[i][series.mask[i]] for i in (0, 2)])
    assert abs(seen.mean()) < 0.5
    assert 0.5 < seen.std() < 1.5


def test_a_video_may_be_heard_too(root: Path, tmp_path: Path) -> None:
    from test_media import write_video_with_sound

    (root / "video").mkdir()
    write_video_with_sound(root / "video" / "talk.mp4")
    stamp = "2024-05-20T10:00:00Z"
    item = {"symbol": "AÅ", "event_time": stamp, "available_time": stamp, "source": "ir"}
    seen = [{**item, "path": "talk.mp4", **flag} for flag in ({"sound": True}, {}, {"sound": "no"})]
    path = root / "video" / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, seen)))
    with pytest.raises(InputError, match="manifest.jsonl: row 2 .*sound must be true or false"):
        prepared(config(root, tmp_path))
    path.write_text("\n".join(map(json.dumps, seen[:2])))
    _, market = prepared(config(root, tmp_path))
    assert len(market.media["video"].bar) == 2
    sound = market.media["audio"]
    assert len(sound.bar) == 2, "the clip of 币安 and one of the two showings"
    assert sound.length[0] == 8000
    assert sound.read(np.array([0])).std() > 1000


def test_a_file_that_moved_to_another_folder_is_another_raw_state(
    root: Path, tmp_path: Path
) -> None:
    c = config(root, tmp_path)
    before, _ = prepared(c)
    (root / "images" / "old").mkdir()
    (root / "images" / "a.png").rename(root / "images" / "old" / "a.png")
    change(root, 0, path="old/a.png")
    after, market = prepared(c)
    assert after != before
    assert len(market.media["image"].bar) == 3


def test_the_last_sector_of_a_symbol_counts(root: Path, tmp_path: Path) -> None:
    bars = pd.read_csv(root / "bars.csv")
    moved = (bars["symbol"] == "AÅ") & (bars["date"] > "2024-05-10")
    bars["sector"] = np.where(bars["symbol"] == "币安", None, np.where(moved, "banks", "oil"))
    bars.to_csv(root / "bars.csv", index=False)
    _, market = prepared(config(root, tmp_path))
    assert market.sectors == {"AÅ": "banks"}
    assert "sector" not in market.channel_names


def test_rows_without_prices_are_left_out_and_named(root: Path) -> None:
    bars = pd.read_csv(root / "bars.csv")
    prices = ["open", "high", "low", "close", "adj_close"]
    bars.loc[[3, 5], prices] = np.nan
    bars.loc[5, "date"] = "2024-05-12"  # a Sunday, as downloads have holidays
    bars.to_csv(root / "bars.csv", index=False)
    raw = source.read(root, "XNYS")
    assert len(raw.bars) == len(raw.channels) == 2 * len(DAYS) - 2
    assert "2 rows of bars.csv without prices, the first symbol=AÅ, date=2024-05-06" in raw.notes


def test_a_row_with_some_prices_is_refused_by_its_number_in_the_file(root: Path) -> None:
    bars = pd.read_csv(root / "bars.csv")
    bars.loc[3, ["open", "high", "low", "close", "adj_close"]] = np.nan
    bars.loc[7, "low"] = np.nan
    bars.to_csv(root / "bars.csv", index=False)
    with pytest.raises(InputError, match=r"bars.csv: row 7 .*low must be a finite number"):
        source.read(root, "XNYS")
