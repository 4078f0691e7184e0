"""Old names of config keys: translated where they are stored, told where a user writes them."""

import dataclasses
import json
from pathlib import Path

import pytest

from fusionjax import ledger
from fusionjax.config import Config, resolve
from fusionjax.config.renamed import DROPPED, KEYS, now_called, translated
from fusionjax.configs import acl18, demo
from fusionjax.errors import InputError

SECTIONS = {f.name for f in dataclasses.fields(Config)}


def old(config: Config) -> dict:
    """A config's JSON as it was before any of its keys had today's name."""
    raw = json.loads(config.to_json())
    values = {}
    for before, now in KEYS.items():
        *parents, leaf = now.split(".")
        node = raw
        for name in parents:
            node = node.get(name, {})
        if leaf in node:
            values[before] = node.pop(leaf)
    raw["targets"] = {}
    for before, value in values.items():
        section, name = before.split(".")
        raw[section][name] = value
    names = {now: before for before, now in KEYS.items()}
    raw["sweep"]["space"] = [[names.get(k, k), values] for k, values in raw["sweep"]["space"]]
    raw["toy"] = [[names.get(k, k), value] for k, value in raw["toy"]]
    return raw | {"ladder": {"data": "planted", "rungs": []}}


@pytest.mark.parametrize("module", [demo, acl18])
def test_a_stored_config_of_before_is_read(module: object) -> None:
    config = resolve(module.get_config())  # type: ignore[attr-defined]
    before = old(config)
    assert {"spike", "rebound"} < set(before["guard"])
    assert before["targets"]["quantiles"] == [0.05, 0.25, 0.5, 0.75, 0.95]
    assert Config.from_json(before) == config
    assert list(Config.from_json(before).targets) == ["direction", "returns", "volatility"]
    assert translated(json.loads(config.to_json()), SECTIONS) == json.loads(config.to_json())


def test_what_names_a_key_is_translated_and_other_text_is_not() -> None:
    stored = {
        "name": "a run of guard.spike",
        "toy": [["distill.absorb_share", 0.3], ["train.steps", 20]],
        "ladder": {"fusions": [["no prior", {"distill.prior": 0.0}]], "rungs": [["a"]]},
    }
    assert translated(stored, SECTIONS | {"ladder"}) == {
        "name": "a run of guard.spike",
        "toy": [["distill.refit_fraction", 0.3], ["train.steps", 20]],
        "ladder": {"fusions": [["no prior", {"distill.prior_strength": 0.0}]], "subsets": [["a"]]},
    }


def test_a_record_of_the_ledger_has_todays_keys(tmp_path: Path) -> None:
    subject = ledger.Subject("runs/demo", "0" * 64, (0,), "dev")
    made = ledger.record("evaluate", resolve(demo.get_config()), subject, ledger.Result({}, {}))
    before = dict(made.config)
    before["guard.spike"] = before.pop("guard.grad_norm_zscore")
    ledger.append(tmp_path, dataclasses.replace(made, config=before))
    assert ledger.read(tmp_path)[0].config == made.config


@pytest.mark.parametrize(("before", "now"), KEYS.items())
def test_an_old_key_is_refused_with_its_new_name(before: str, now: str) -> None:
    with pytest.raises(InputError, match=f"config.{before} is called config.{now} now"):
        resolve(demo.get_config()).override({before: 1})


@pytest.mark.parametrize("gone", DROPPED)
def test_a_dropped_key_is_refused_with_the_reason_and_read_where_it_is_stored(gone: str) -> None:
    config = resolve(demo.get_config())
    with pytest.raises(InputError, match=f"config.{gone} is gone: "):
        config.override({gone: 1})
    stored = json.loads(config.to_json())
    section, name = gone.split(".")
    stored[section][name] = 5
    assert Config.from_json(stored) == config


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("guard.spike", "; guard.spike is now guard.grad_norm_zscore"),
        (
            "rank",
            "; finetune.rank is now finetune.lora_rank; train.rank is now train.lora_rank",
        ),
        ("ank", ""),
        ("train.steps", ""),
    ],
)
def test_what_an_unknown_key_is_called_now(key: str, wanted: str) -> None:
    assert now_called(key) == wanted


def test_no_name_is_used_again() -> None:
    assert not set(KEYS) & set(KEYS.values())
    assert len(set(KEYS.values())) == len(KEYS)
