"""News in the forms that vendors give it."""

import json
from pathlib import Path

import downloads
import pandas as pd
import pytest
from downloads import csv, take, titled, truth

WHEN = "2024-01-23T15:30:00Z"
POLYGON = {
    "results": [
        {
            "id": "x",
            "published_utc": WHEN,
            "title": "A &amp; B rise",
            "description": "Both rose.",
            "publisher": {"name": "The Wire"},
            "tickers": ["AAA", "BBB", "ZZZ"],
        }
    ]
}
FINNHUB = [
    {
        "category": "company",
        "datetime": 1706023800,
        "headline": "A & B rise",
        "related": "AAA,BBB",
        "source": "The Wire",
        "summary": "Both rose.",
        "url": "",
    }
]
ALPACA = {
    "news": [
        {
            "author": "",
            "source": "The Wire",
            "created_at": "2024-01-23T10:30:00-05:00",
            "headline": "A & B rise",
            "summary": "Both.",
            "content": "<p>Both&nbsp;rose.</p>",
            "symbols": ["AAA", "BBB"],
        }
    ],
    "next_page_token": None,
}
NEWSAPI = {
    "status": "ok",
    "articles": [
        {
            "source": {"id": None, "name": "The Wire"},
            "author": None,
            "title": "A & B rise",
            "description": "Both rose.",
            "publishedAt": WHEN,
            "symbols": "AAA|BBB",
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    downloads.each(truth(), tmp_path, "{}.csv", csv(titled("adj_close", "Adj Close")))
    return tmp_path


@pytest.mark.parametrize("form", [POLYGON, FINNHUB, ALPACA, NEWSAPI])
@pytest.mark.parametrize("lines", [False, True])
def test_every_form_is_the_same_text(folder: Path, form: object, lines: bool) -> None:
    if lines:
        rows = form if isinstance(form, list) else next(v for v in form.values() if v and v != "ok")
        text = "\n".join(map(json.dumps, rows))
    else:
        text = json.dumps(form)
    (folder / f"news.json{'l' * lines}").write_text(text)
    texts = take(folder).texts
    assert texts is not None
    (row,) = texts.to_dict("records")
    assert row == {
        "symbol": "AAA|BBB",
        "event_time": pd.Timestamp(WHEN),
        "available_time": pd.Timestamp(WHEN),
        "author": "The Wire",
        "text": "A & B rise\nBoth rose.",
    }


def test_a_changed_text_is_known_from_its_change_on(folder: Path) -> None:
    """What it said before is not in the download."""
    row = ALPACA["news"][0] | {"updated_at": "2024-01-24T09:00:00.25Z"}
    other = row | {"updated_at": None, "headline": "", "summary": "", "content": "Later"}
    (folder / "news.json").write_text(json.dumps([row, other, row, other | {"content": ""}]))
    found = take(folder)
    assert found.texts is not None
    assert found.texts["text"].to_list() == ["Later", "A & B rise\nBoth rose."]
    assert found.texts["available_time"].to_list() == [
        pd.Timestamp(WHEN),
        pd.Timestamp("2024-01-24T09:00:00.25Z"),
    ]
    assert [note for note in found.notes if note.startswith("left out")] == [
        "left out: 1 texts without a word",
        "left out: 1 texts that repeat another exactly",
    ]


def test_a_date_alone_is_the_end_of_that_day_in_new_york(folder: Path) -> None:
    table = pd.DataFrame({"date": ["2024-01-23"], "title": ["Up"], "stock": ["AAA"]})
    table.to_csv(folder / "news.csv", index=False)
    texts = take(folder).texts
    assert texts is not None
    assert texts["available_time"][0] == pd.Timestamp("2024-01-24T05:00Z")
