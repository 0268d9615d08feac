import math

import pytest

from transfer_atlas.analysis import guidelines
from transfer_atlas.analysis.claims import peters2019
from transfer_atlas.analysis.intervals import Estimate

PAIRS = {"mnli": 0.5, "sick_e": 1.0, "sick_r": 2.3, "mrpc": 6.7, "stsb": 4.2}


def made(evidence):
    return guidelines.table(evidence, peters2019.claims(evidence))


def row(table, guideline, model):
    (found,) = table[(table["guideline"] == guideline) & (table["model"] == model)].to_dict("records")
    return found


def test_pairs_of_bert_and_of_elmo(gains):
    table = made(gains({"small_bert": PAIRS, "small_elmo": {task: -gain for task, gain in PAIRS.items()}}))
    bert, elmo = row(table, "fine-tune", "small_bert"), row(table, "extract", "small_elmo")
    assert (bert["verdict"], bert["ours"], bert["n"]) == ("supported", "fine-tune", 5)
    assert bert["estimate"] == pytest.approx(sum(PAIRS.values()) / 5)
    assert (elmo["verdict"], elmo["ours"]) == ("supported", "extract")
    assert "P3 supported" in bert["claims"] and "P2" not in bert["claims"]
    assert bert["stand_ins"] == "small_bert for BERT-base"


def test_single_texts(gains):
    table = made(gains({"small_bert": {"sst": 0.3, "ner": 0.2, "mrpc": 9.0}}))
    alike = row(table, "both are alike", "small_bert")
    assert (alike["verdict"], alike["ours"], alike["tasks"]) == ("supported", "either", "ner (+0.2), sst (+0.3)")
    far = row(made(gains({"small_bert": {"sst": 3.0}})), "both are alike", "small_bert")
    assert (far["verdict"], far["ours"]) == ("contradicted", "fine-tune")


def test_parameters_of_the_task(study):
    scores = {
        ("other", "ner", "freeze_lstm"): 92.0,
        ("other", "ner", "freeze_crf"): {1: 88.0, 2: 88.1, 3: 88.2},
        ("other", "ner", "tune_lstm"): 90.0,
        ("other", "ner", "tune_crf"): {1: 91.2, 2: 91.5, 3: 91.4},
    }
    table = made(study(scores))
    many = row(table, "add many task parameters", "other")
    assert (many["verdict"], many["ours"]) == ("supported", "many task parameters")
    few = row(table, "add few task parameters, mind the hyper-parameters", "other")
    assert (few["verdict"], few["ours"]) == ("supported", "few task parameters")


def test_a_model_that_the_paper_does_not_know_has_its_own_advice(gains):
    table = made(gains({"other": {"mrpc": -3.0, "sst": 0.2}}))
    own = row(table, guidelines.NO_GUIDELINE, "other")
    assert (own["verdict"], own["ours"], own["tasks"]) == ("", "extract", "mrpc (−3.0)")
    assert row(table, "both are alike", "other")["verdict"] == "supported"
    assert row(table, "fine-tune", "")["verdict"] == "not run"


def test_nothing_was_run(study):
    table = made(study({}))
    assert len(table) == 5 and set(table["verdict"]) == {"not run"} and set(table["ours"]) == {"not run"}
    assert list(table.columns) == list(guidelines.COLUMNS)
    assert guidelines.page(table, {}).count("| not run |") >= 5


def test_advice():
    names = ("fine-tune", "extract")
    assert guidelines.advice(Estimate(3.0, 1.0, 3, 1.0, 5.0), names) == "fine-tune"
    assert guidelines.advice(Estimate(0.5, 0.1, 3, 0.4, 0.6), names) == "either"
    assert guidelines.advice(Estimate(1.0, 1.0, 3, -1.0, 3.0), names) == guidelines.NOT_CLEAR
    assert guidelines.advice(Estimate(9.0, math.nan, 1, math.nan, math.nan), names) == guidelines.NOT_CLEAR


def test_the_page_tells_the_numbers(gains):
    page = guidelines.page(made(gains({"small_bert": PAIRS})), {"small_bert": "MiniLM"})
    line = next(line for line in page.splitlines() if line.startswith("| BERT-base "))
    assert (
        "| MiniLM | supported | fine-tune | fine-tuning minus extraction: +2.9 points (95 % interval +2.9 to " in line
    )
    assert "Stand-ins: small_bert for BERT-base." in page


def test_what_learnt_nothing_advises_nothing(gains):
    evidence = gains({"small_bert": {"sst": 0.3}}, counts={"sst": {"test": {"good": 90, "bad": 10}}})
    table = made(evidence)
    alike = row(table, "both are alike", "small_bert")
    assert (alike["verdict"], alike["ours"]) == ("inconclusive", guidelines.NOT_CLEAR)
    assert alike["note"].endswith("constant answer on sst") and alike["estimate"] == pytest.approx(0.3)
    assert alike["note"] in guidelines.page(table, {})


def test_the_page_says_how_much_is_decided(gains, study):
    assert "**No guideline was put to the test**" in guidelines.page(made(study({})), {})
    one_seed = study({("small_bert", "mrpc", "tune"): {1: 90.0}, ("small_bert", "mrpc", "freeze"): {1: 80.0}})
    page = guidelines.page(made(one_seed), {})
    assert "**No guideline is decided by these runs**" in page and "no evidence against" in page
    assert (
        "| inconclusive | nothing yet | fine-tuning minus extraction: +10.0 points (no interval, 1 seed) on mrpc"
        in page
    )
    page = guidelines.page(made(gains({"small_bert": PAIRS})), {})
    assert "Of 5 rows with a guideline of the paper: 1 supported, 4 not run." in page
