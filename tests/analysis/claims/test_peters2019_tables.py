import math
from dataclasses import replace

import pandas as pd
import pytest

from transfer_atlas.analysis import diagnostics, peters2019, peters2019_page
from transfer_atlas.analysis.claims import claim
from transfer_atlas.analysis.claims import peters2019 as claims
from transfer_atlas.analysis.claims.peters2019 import TASKS

from .conftest import MODELS

LABELS = {"small_bert": "MiniLM", "sst": "Film reviews"}


def page_of(evidence, labels=None, domains=None, probed=None):
    judged = claim.table(claims.claims(evidence, domains, probed))
    tables = peters2019.table2(evidence), peters2019.analyses(evidence, domains)
    return peters2019_page.page(*tables, judged, labels or {})


def row(made, **where):
    found = made
    for name, value in where.items():
        found = found[found[name] == value]
    (only,) = found.to_dict("records")
    return only


@pytest.fixture
def mixed(gains):
    """BERT on two tasks of which one stands in, ELMo not at all."""
    evidence = gains({"small_bert": {"sst": 0.5, "mrpc": 6.7}})
    films = evidence.tasks["sst"].model_copy(update={"stand_in": True})
    return replace(evidence, tasks={**evidence.tasks, "sst": films})


def test_table_2_has_every_place_of_the_papers(mixed):
    table = peters2019.table2(mixed)
    assert list(table.columns) == list(peters2019.COLUMNS) and len(table) == 2 * 3 * len(TASKS)
    ours = row(table, model="small_bert", arm="difference", task="mrpc")
    assert (ours["mean"], ours["published"], ours["n"], ours["n_train"]) == (pytest.approx(6.7), 6.7, 5, 1000)
    assert ours["low"] < ours["mean"] < ours["high"] and ours["recipe"] == "tune minus freeze"
    assert (ours["task_stands_in"], ours["model_stands_in"]) == (False, True)
    elmo = row(table, paper_model="ELMo", arm="extract", paper_task="MRPC")
    assert (elmo["n"], elmo["published"], elmo["model"]) == (0, 76.0, "") and math.isnan(elmo["mean"])
    assert table["published_verified"].all()


def test_a_side_alone_is_shown_without_a_difference(study):
    table = peters2019.table2(study({("small_bert", "sst", "freeze"): 80.0}))
    assert row(table, model="small_bert", arm="extract", paper_task="SST-2")["mean"] == pytest.approx(80.0)
    assert row(table, model="small_bert", arm="finetune", paper_task="SST-2")["n"] == 0
    assert row(table, model="small_bert", arm="difference", paper_task="SST-2")["n"] == 0


def test_the_page_marks_stand_ins_and_puts_the_papers_numbers_beside(mixed):
    page = page_of(mixed, LABELS)
    lines = [line for line in page.splitlines() if line.startswith("| MiniLM†")]
    difference = next(line for line in lines if "fine-tune − extract" in line)
    assert "+0.5 ± 0.0† (+0.5)" in difference and "**+6.7 ± 0.0** (+6.7)" in difference
    assert difference.count("not run (") == 5
    assert "| ELMo | extract | not run (91.7) |" in page
    assert "† stands in: MiniLM for BERT-base; Film reviews for SST-2." in page
    assert "| MiniLM† | Film reviews† (SST-2) | accuracy | fine-tune | tune | 1,000 | 5 |" in page
    # A table has the same number of cells in every line.
    table = page[page.index("| model | method") : page.index("† stands in")].strip().splitlines()
    assert len({line.count("|") for line in table}) == 1


def test_the_page_of_a_study_that_ran_none_of_it(study):
    page = page_of(study({}))
    assert "Nothing was run" in page and "stands in:" not in page
    assert page.count("not run (") == 42 + 8 + 8 + 5


def test_analyses_compare_settings_at_a_common_size(study):
    scores = {
        ("small_bert", "mrpc", "freeze"): {1000: 80.0, 5000: 99.0},
        ("small_bert", "mrpc", "freeze_separate"): {1000: 78.0},
        ("small_bert", "ner", "freeze_lstm"): 92.0,
    }
    table = peters2019.analyses(study(scores))
    joint = row(table, table="Table 4", setting="extract, joint", task="mrpc")
    assert (joint["n_train"], joint["mean"], joint["published"]) == (1000, pytest.approx(80.0), 83.3)
    assert not joint["published_verified"]
    lstm = row(table, table="Table 5", model="small_bert", setting="extract, biLSTM-CRF")
    # Which model the paper's Table 5 is about is not certain; ELMo's numbers are not put beside BERT.
    assert lstm["mean"] == pytest.approx(92.0) and math.isnan(lstm["published"])
    assert set(table["analysis"]) == {"pair interaction", "extra parameters"}


def test_genres(study):
    domains = pd.DataFrame(
        [
            {"model": "small_bert", "task": "mnli", "reference": "books", "size": "all", "finetune": "tune",
             "extract": "freeze", "group": "travel", "jsd": 0.2, "gain": 0.01, "gain_sd": 0.001, "gain_n": 3,
             "gain_low": 0.0, "gain_high": 0.02, "p": 0.1}
        ]
    )  # fmt: skip
    evidence = study({("small_bert", "mnli", "tune"): 80.0})
    table = peters2019.analyses(evidence, domains)
    gain = row(table, table="Table 6", setting="difference")
    assert (gain["mean"], gain["high"], gain["published"], gain["group"]) == (pytest.approx(1.0), 2.0, -0.6, "travel")
    divergence = row(table, table="Table 6", setting="divergence")
    assert (divergence["mean"], divergence["published"], divergence["metric"]) == (0.2, 0.14, "jensen_shannon")
    page = page_of(evidence, domains=domains)
    assert "| MNLI, travel | divergence | 0.20 (0.14) |" in page
    assert "| MNLI, travel | difference | +1.0 ± 1.0 (−0.6) |" in page


def test_a_system_of_two_models_is_one_row_that_says_who_did_what(gains):
    own = {name: MODELS["small_bert"].model_copy(update={"stand_in": False}) for name in ("uncased", "cased")}
    evidence = gains({"uncased": {"sst": 0.5, "mrpc": 6.7}, "cased": {"ner": 0.2}}, models=own)
    table = peters2019.table2(evidence)
    assert len(table) == 2 * 3 * len(TASKS)
    assert row(table, arm="difference", paper_task="CoNLL-2003 NER", paper_model="BERT-base")["model"] == "cased"
    assert row(table, arm="difference", task="mrpc")["model"] == "uncased"
    page = page_of(evidence, {"cased": "BERT (cased)"})
    (line,) = [line for line in page.splitlines() if line.startswith("| BERT-base | fine-tune − extract")]
    assert "+0.2 ± 0.0 (+0.2) | +0.5 ± 0.0 (+0.5)" in line
    assert "BERT-base is BERT (cased) on CoNLL-2003 NER; uncased on SST-2, MRPC." in page
    assert "| BERT (cased) | ner (CoNLL-2003 NER) | span F1 |" in page
    # Two stand-ins stay two.
    apart = gains({"uncased": {"sst": 0.5}, "cased": {"ner": 0.2}}, models=dict.fromkeys(own, MODELS["small_bert"]))
    assert len(peters2019.table2(apart)) == 3 * 3 * len(TASKS)


def test_what_learnt_nothing_is_marked(study):
    scores = {("small_bert", "sst", "tune"): dict.fromkeys((1, 2, 3), 50.0)}
    scores |= {("small_bert", "sst", "freeze"): {1: 47.0, 2: 48.0, 3: 47.5}, ("small_bert", "mrpc", "freeze"): 80.0}
    evidence = study(scores, counts={"sst": {"test": {"good": 50, "bad": 50}}, "mrpc": {"test": {"0": 1, "1": 2}}})
    table = peters2019.table2(evidence)
    sst = table[table["task"] == "sst"]
    assert sst["constant"].tolist() == [50.0] * 3 and not sst["learnt"].any()
    alone = row(table, task="mrpc")
    assert alone["learnt"] and alone["constant"] == pytest.approx(200 / 3)
    page = page_of(evidence)
    difference = next(line for line in page.splitlines() if line.startswith("| small_bert† | fine-tune − extract"))
    # Larger than a point, and yet not set in bold.
    assert "| +2.5 ± 1.2‡ (+0.5) |" in difference
    assert "| small_bert† | extract | not run (92.2) | 47.5 ± 1.2‡ (93.0) |" in page
    assert "80.0 ± 0.2 (78.1)" in page


def test_claims_have_a_unit_and_their_controls(gains):
    evidence = gains({"small_bert": {"mrpc": 6.7}})
    values = {"pretrained": 0.01, "finetuned": 0.6, "random labels": 0.002, "random states": -0.001}
    probed = pd.DataFrame(
        [
            ("small_bert", "mrpc", "tune", "all", seed, state, layer, "mutual_information", "bits", value, 400)
            for seed in (1, 2)
            for layer in (0, 1, 2)
            for state, value in values.items()
        ],
        columns=list(diagnostics.COLUMNS),
    )
    page = page_of(evidence, probed=probed)
    (line,) = [line for line in page.splitlines() if line.startswith("|  | – MRPC, near 0 before |")]
    assert "| small_bert | supported† | +0.010 bits [+0.010, +0.010], n = 2 | between ±0.05 |" in line
    assert "random labels: 0.002 on average, 0.002 to 0.002; random states: −0.001" in line
    assert "| small_bert | supported† | +6.7 points [+6.7, +6.7], n = 5 | > 3 | +6.7 |" in page
    assert "neither confirm nor refute the paper" in page
