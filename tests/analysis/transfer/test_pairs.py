import pytest

from transfer_atlas.analysis.transfer.pairs import Pairs
from transfer_atlas.settings import Intermediate, Task


def task(language: str = "en", domain: str = "", family: str = "") -> Task:
    entry = {"type": "pair_regression", "files": {"train": "t.csv"}, "score_range": [0, 5]}
    return Task(**entry, language=language, domain=domain, family=family)


TASKS = {
    "films": task(domain="films", family="sentiment analysis"),
    "more films": task(domain="films"),
    "goods": task(domain="goods"),
    "waren": task(language="de", domain="goods"),
}
ENTRIES = {
    "films": Intermediate(task="films", recipe="r"),
    "chain": Intermediate(task="goods", recipe="r", after="films", head="keep"),
}
PAIRS = Pairs(TASKS, ENTRIES)


@pytest.mark.parametrize(
    ("intermediate", "target", "setting"),
    [
        ("films", "more films", "same"),
        ("films", "goods", "domain"),
        ("films", "waren", "cross-lingual"),
        ("chain", "goods", "same"),
        ("chain", "films", "domain"),
        ("chain", "waren", "cross-lingual"),
    ],
)
def test_languages_decide_before_domains_and_the_last_link_of_a_chain(intermediate, target, setting):
    assert PAIRS.setting(intermediate, target) == setting


def test_family_is_the_targets_or_its_type():
    assert PAIRS.family("films") == "sentiment analysis"
    assert PAIRS.family("goods") == "pair regression"


def test_frozen_encoders_keep_no_head():
    assert PAIRS.head("chain", "finetune") == "keep"
    assert PAIRS.head("chain", "extract") == "drop"
