"""A planted market survives the way through real files, and damaged files are named."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusionjax.data import calendar, schema
from fusionjax.data.samples import take_targets
from fusionjax.errors import InputError
from studies.data import planted, planted_folder, views
from studies.data.planted import Planted

ROWS = np.arange(0, 300, 5)
MEDIA = {"images": "png", "audio": "wav", "video": "mp4"}


@pytest.fixture(scope="module")
def market() -> Planted:
    return planted.plant(planted.REGIMES["noisy_labels"], 3, train=200, dev=50, test=50)


@pytest.fixture(scope="module")
def written(market: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "market"
    planted_folder.write(market, folder, ROWS)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(written, tmp_path / "market"))


def change(path: Path, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    how(pd.read_parquet(path)).to_parquet(path, index=False)


def test_every_feature_comes_back_and_so_does_what_is_missing(
    market: Planted, written: Path
) -> None:
    found = planted_folder.read(written)
    assert tuple(found) == planted.MODALITIES
    for name, x in found.items():
        here, wanted = market.views.batch.present[name][ROWS], market.views.batch.inputs[name].x
        np.testing.assert_array_equal(np.isfinite(x).all(1), here)
        np.testing.assert_array_equal(np.isnan(x).any(1), ~here)
        for feature, (got, truth) in enumerate(zip(x[here].T, wanted[ROWS][here].T, strict=True)):
            assert np.corrcoef(got, truth)[0, 1] > 0.98, (name, feature)
    clean = ~market.truth.corrupted[ROWS]  # beside tails that dwarf them
    for got, truth in zip(
        found["chart"].T, market.views.batch.inputs["chart"].x[ROWS].T, strict=True
    ):
        assert np.corrcoef(got[clean], truth[clean])[0, 1] > 0.99
    assert np.abs(market.views.batch.inputs["chart"].x[ROWS]).max() > 3


def test_errors_stay_within_what_is_promised(market: Planted, written: Path) -> None:
    found = planted_folder.read(written)
    for name, x in found.items():
        here, wanted = market.views.batch.present[name][ROWS], market.views.batch.inputs[name].x
        off, size = np.abs(x - wanted[ROWS])[here], np.abs(wanted[ROWS])[here]
        if name in ("numeric", "source"):
            assert off.max() == 0
        elif name == "text":
            assert (off[size < 4] < 0.5).all()
            assert (off[size < 0.5] < 0.2).all()
        else:
            assert (off < 0.05 * size + 0.0005).all()


def test_the_next_sessions_return_has_the_training_labels_sign(
    market: Planted, written: Path
) -> None:
    bars = schema.check_bars(pd.read_parquet(written / "bars.parquet"), "bars", "XNYS")
    up = np.diff(np.log(bars["adj_close"])) > 0
    np.testing.assert_array_equal(up, market.views.batch.targets.label["direction"][ROWS, 0] == 1)
    truth = pd.read_parquet(written / "truth.parquet")
    assert list(truth) == ["row", "probability", "flipped", "corrupted"]
    np.testing.assert_array_equal(truth["row"], ROWS)
    np.testing.assert_array_equal(truth["flipped"], market.truth.flipped[ROWS])
    assert truth["flipped"].any()


def test_what_is_read_trains_as_views(market: Planted, written: Path) -> None:
    rows = np.arange(len(ROWS))
    targets = take_targets(market.views.batch.targets, ROWS)
    split = dict(zip(("train", "dev", "test"), np.split(rows, [40, 50]), strict=True))
    labels = views.StudyLabels(targets)
    again = views.views(planted_folder.read(written), labels, rows, split)
    for name in planted.MODALITIES:
        np.testing.assert_array_equal(
            again.batch.present[name], market.views.batch.present[name][ROWS]
        )


def test_items_are_stamped_before_their_own_decision_and_after_the_last_one(written: Path) -> None:
    bars = pd.read_parquet(written / "bars.parquet")
    days = bars["date"].to_numpy().astype("datetime64[D]")
    decided = calendar.decision_times(days, "XNYS", 30)
    tables = [written / "texts.parquet", written / "sources.parquet"]
    tables += [written / kind / "manifest.parquet" for kind in MEDIA]
    for path in tables:
        table = pd.read_parquet(path)
        for column in ("event_time", "available_time"):
            assert str(table[column].dt.tz) == "UTC"
            at = table[column].dt.tz_localize(None).to_numpy().astype("datetime64[s]")
            own = np.searchsorted(decided, at)
            assert (decided[own] > at).all()
            assert (np.diff(own) > 0).all()
    texts = pd.read_parquet(written / "texts.parquet")
    schema.check_documents(texts, pd.Timestamp.now(tz="UTC"), "texts")
    for kind, suffix in MEDIA.items():
        manifest = pd.read_parquet(written / kind / "manifest.parquet")
        assert list(manifest) == ["symbol", "event_time", "available_time", "source", "path"]
        assert {p.name for p in (written / kind).iterdir()} == {
            *manifest["path"],
            "manifest.parquet",
        }
        assert manifest["path"].str.endswith(suffix).all()


def test_a_post_is_words_of_two_small_lists(written: Path) -> None:
    post = pd.read_parquet(written / "texts.parquet")["text"][0]
    subjects, levels = zip(*(phrase.split() for phrase in post.split(", ")), strict=True)
    assert subjects == planted_folder.SUBJECTS
    assert set(levels) <= set(planted_folder.LEVELS)


def test_a_modality_may_be_missing_throughout(market: Planted, tmp_path: Path) -> None:
    present = market.views.batch.present
    rows = np.flatnonzero(~present["audio"] & ~present["text"])[:3]
    planted_folder.write(market, tmp_path, rows)
    found = planted_folder.read(tmp_path)
    assert found["audio"].shape == (3, 8)
    assert found["text"].shape == (3, 12)
    assert np.isnan(found["audio"]).all()
    assert np.isnan(found["text"]).all()
    assert np.isfinite(found["video"]).all()


def test_values_beyond_the_files_end_are_cut_there() -> None:
    for coding, end in ((planted_folder._FILE, 1000.0), (planted_folder._POST, 4.0)):
        x = np.array([-1e9, -end, -0.5, 0, 0.003, 2, end, 1e9])
        code = planted_folder._squash(x, coding)
        assert code.min() == 0
        assert code.max() == 1
        np.testing.assert_allclose(
            planted_folder._unsquash(code, coding), np.clip(x, -end, end), atol=1e-12
        )


def test_the_exchange_has_only_so_many_sessions(market: Planted, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rows: 9999 given; XNYS has room for 9"):
        planted_folder.write(market, tmp_path, np.zeros(9999, int))


@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("escape", ["../../secret", "/etc/hostname", "link", "\0", None])
def test_a_path_may_not_leave_its_folder(folder: Path, kind: str, escape: str | None) -> None:
    (folder / kind / "link").symlink_to("/etc/hostname")
    manifest = folder / kind / "manifest.parquet"
    change(manifest, lambda t: t.assign(path=[*t["path"][:2], escape, *t["path"][3:]]))
    with pytest.raises(
        InputError, match=rf"{kind}/manifest.parquet: row 2: path .* (leaves|is no)"
    ):
        planted_folder.read(folder)


@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("keep", [0, 0.4, 0.8])
def test_a_truncated_file_is_named(folder: Path, kind: str, keep: float) -> None:
    path = sorted((folder / kind).glob(f"*.{MEDIA[kind]}"))[3]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    message = (
        rf"{kind}/{path.name}: cannot be decoded as {MEDIA[kind]} .*copy it again, or drop row 3"
    )
    with pytest.raises(InputError, match=message):
        planted_folder.read(folder)


@pytest.mark.parametrize(
    ("kind", "other"), [("images", "audio"), ("audio", "video"), ("video", "images")]
)
def test_a_file_of_another_kind_is_refused(folder: Path, kind: str, other: str) -> None:
    path = min((folder / kind).glob(f"*.{MEDIA[kind]}"))
    shutil.copy(min((folder / other).glob(f"*.{MEDIA[other]}")), path)
    with pytest.raises(InputError, match=f"{path.name}: cannot be decoded"):
        planted_folder.read(folder)
    path.unlink()
    with pytest.raises(
        InputError, match=f"{path.name}: cannot be decoded .*(No such file|opening)"
    ):
        planted_folder.read(folder)


def test_a_playlist_is_not_followed(folder: Path) -> None:
    first, second, *_ = sorted((folder / "video").glob("*.mp4"))
    first.write_text(f"ffconcat version 1.0\nfile '{second}'\n")
    with pytest.raises(InputError, match=f"{first.name}: cannot be decoded"):
        planted_folder.read(folder)


def test_a_picture_of_another_size_is_refused_before_it_is_unpacked(folder: Path) -> None:
    from PIL import Image

    path = min((folder / "images").glob("*.png"))
    Image.new("L", (5000, 5000)).save(path)
    with pytest.raises(InputError, match=r"\(5000, 5000\)\), expected \('L', \(192, 16\)\)"):
        planted_folder.read(folder)


@pytest.mark.parametrize(
    ("file", "how", "message"),
    [
        ("bars", lambda t: t.drop(columns="adj_close"), "bars.parquet: lacks column adj_close"),
        ("bars", lambda t: t.drop(columns="numeric_3"), "bars.parquet: lacks column numeric_3"),
        ("bars", lambda t: t.assign(numeric_3="x"), "bars.parquet: numeric_0 .* numbers"),
        ("bars", lambda t: t.assign(symbol="XX"), "bars.parquet: row 0: symbol must be PLANT"),
        ("bars", lambda t: t[:-9], "parquet: row .*after the last session with a label"),
        ("texts", lambda t: t.drop(columns="text"), "texts.parquet: lacks column text"),
        ("texts", lambda t: t.assign(text="to the moon"), "row 0: text must give each of sales"),
        (
            "texts",
            lambda t: t.assign(
                text=t["text"].str.replace(r"^sales \w+", "sales mooned", regex=True)
            ),
            "texts.parquet: row 0: text must give each of sales",
        ),
        ("texts", lambda t: t.assign(symbol="XX"), "texts.parquet: row 0: symbol must be PLANT"),
        ("sources", lambda t: t.drop(columns="source_2"), "sources.parquet: lacks column source_2"),
        ("sources", lambda t: pd.concat([t[:1], t]), "sources.parquet: row 1: an earlier row"),
        ("audio/manifest", lambda t: t.drop(columns="path"), "manifest.parquet: lacks column path"),
        (
            "video/manifest",
            lambda t: t.assign(event_time=t["available_time"] + pd.Timedelta("1h")),
            "video/manifest.parquet: row 0 .*available before it happened",
        ),
    ],
)
def test_a_spoilt_table_is_named(
    folder: Path, file: str, how: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    change(folder / f"{file}.parquet", how)
    with pytest.raises(InputError, match=message):
        planted_folder.read(folder)


def test_a_folder_that_was_not_finished_is_refused(
    market: Planted, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(planted_folder, "_post", full)
    with pytest.raises(OSError, match="disk full"):
        planted_folder.write(market, folder, ROWS)
    with pytest.raises(InputError, match="bars.parquet: missing"):
        planted_folder.read(folder)


@pytest.mark.parametrize("package", ["av", "PIL"])
def test_a_missing_package_is_named(
    market: Planted, written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'package {package} is not installed: pip install "fusionjax\[media\]"$'
    with pytest.raises(InputError, match=message):
        planted_folder.read(written)
    with pytest.raises(InputError, match=message):
        planted_folder.write(market, tmp_path / "new", ROWS)
    assert not (tmp_path / "new").exists()
