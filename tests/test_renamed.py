"""Old names of config keys: translated where they are stored, told where a user writes them."""

import pytest

from fusionjax.config.renamed import KEYS, now_called, translated


def test_a_stored_config_has_todays_keys() -> None:
    stored = {
        "name": "guard.spike is my run's name",
        "guard": {"spike": 8.0, "rate": 0.5, "window": 40},
        "distill": {"learned": ["modality", "rater"], "absorb_share": 0.3},
        "train": {"rank": 2, "frozen": ["rater"]},
        "toy": [["distill.absorb_share", 0.3], ["train.steps", 20]],
        "ladder": {"fusions": [["no rater", {"distill.learned": ["rater"], "distill.prior": 1}]]},
    }
    assert translated(stored) == {
        "name": "guard.spike is my run's name",
        "guard": {"grad_norm_zscore": 8.0, "lr_backoff": 0.5, "window": 40},
        "distill": {"learned": ["modality", "quality"], "refit_fraction": 0.3},
        "train": {"lora_rank": 2, "frozen": ["rater"]},
        "toy": [["distill.refit_fraction", 0.3], ["train.steps", 20]],
        "ladder": {
            "fusions": [["no rater", {"distill.learned": ["quality"], "distill.prior_strength": 1}]]
        },
    }


def test_a_record_of_the_ledger_has_todays_keys() -> None:
    stored = {"guard.spike": 8.0, "finetune.every": 5, "distill.learned": ["rater"], "seed": 0}
    assert translated(stored) == {
        "guard.grad_norm_zscore": 8.0,
        "finetune.update_interval": 5,
        "distill.learned": ["quality"],
        "seed": 0,
    }


def test_what_has_todays_keys_stays() -> None:
    new = {"guard": {"lr_backoff": 0.5}, "distill": {"learned": ["quality"]}}
    assert translated(new) == new


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
