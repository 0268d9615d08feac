"""The claims on made-up gains: those of the paper's own tables, and ones that go against them."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from transfer_atlas.analysis import diagnostics
from transfer_atlas.analysis.claims import peters2019
from transfer_atlas.analysis.claims.claim import WHOLE
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT
from transfer_atlas.analysis.published import read

from .conftest import MODELS

ELMO = {"ner": 0.2, "sst": -0.6, "mnli": -3.2, "sick_e": -3.3, "sick_r": -2.8, "mrpc": -1.5, "stsb": -0.4}
BERT = {"ner": 0.2, "sst": 0.5, "mnli": 0.0, "sick_e": 1.0, "sick_r": 2.3, "mrpc": 6.7, "stsb": 4.2}
PAPER = {"small_elmo": ELMO, "small_bert": BERT}


def verdicts(evidence, *names):
    return {(claim.id, *claim.models): claim.verdict for claim in peters2019.claims(evidence) if claim.id in names}


def only(claims):
    (claim,) = claims
    return claim


def parts(claim):
    return {part.part: part.verdict for part in claim.parts}


def test_the_papers_own_gains_support_its_claims(gains):
    assert verdicts(gains(PAPER), "P1", "P2", "P3", "P4", "P5", "P6") == {
        ("P1", "small_elmo"): "supported",
        ("P1", "small_bert"): "supported",
        ("P2", "small_elmo"): "supported",
        ("P3", "small_bert"): "supported",
        ("P4", "small_bert"): "supported",
        ("P5", "small_bert"): "supported",
        ("P6", "small_elmo", "small_bert"): "supported",
    }


def test_the_opposite_gains_contradict_them(gains):
    opposite = {name: {task: -4 * gain - 5 for task, gain in of.items()} for name, of in PAPER.items()}
    opposite["small_elmo"] = {task: 5.0 for task in ELMO}
    assert set(verdicts(gains(opposite), "P1", "P2", "P3", "P4", "P5", "P6").values()) == {"contradicted"}


@pytest.mark.parametrize(
    ("name", "task", "gain", "verdict"),
    [
        ("P1", "sst", 0.9, "supported"),
        ("P1", "sst", 1.0, "inconclusive"),
        ("P1", "sst", 1.1, "contradicted"),
        ("P3", "sick_r", 2.1, "supported"),
        ("P3", "sick_r", 1.9, "contradicted"),
        ("P3", "stsb", 2.9, "contradicted"),
        ("P4", "mnli", 0.4, "supported"),
        ("P4", "mnli", -0.6, "contradicted"),
        ("P4", "sick_e", 2.1, "contradicted"),
        ("P4", "sick_e", -0.1, "contradicted"),
    ],
)
def test_thresholds_for_bert(gains, name, task, gain, verdict):
    evidence = gains({"small_bert": {**BERT, task: gain}})
    assert verdicts(evidence, name)[name, "small_bert"] == verdict


@pytest.mark.parametrize(
    ("task", "gain", "verdict"),
    [
        ("stsb", -0.1, "supported"),
        ("stsb", 0.1, "contradicted"),
        ("mrpc", -0.9, "contradicted"),
        ("mrpc", -1.0, "inconclusive"),
    ],
)
def test_thresholds_for_elmo(gains, task, gain, verdict):
    assert only(peters2019.p2(gains({"small_elmo": {**ELMO, task: gain}}))).verdict == verdict


def test_estimate_interval_and_published_number_of_a_part(gains):
    claim = only(peters2019.p3(gains({"small_bert": BERT})))
    part = next(part for part in claim.parts if part.part == "MRPC")
    assert part.estimate.mean == pytest.approx(6.7) and part.estimate.n == 5
    # Differences 6.7 + 0.1 * (-0.2 ... 0.2): sd 0.0158, half a t interval 0.0196.
    assert part.estimate.high - part.estimate.mean == pytest.approx(0.01963, abs=1e-4)
    assert (part.published, part.published_verified, part.bound) == (6.7, True, "> 3")
    assert (part.n_train, part.recipes, part.tasks) == (1000, ("tune", "freeze"), ("mrpc",))


def test_a_missing_task_leaves_a_claim_open_but_a_contradiction_stands(gains):
    some = {"sst": 0.5}
    claim = next(c for c in peters2019.p1(gains({"small_bert": some})) if c.models)
    assert (claim.verdict, parts(claim)) == ("inconclusive", {"CoNLL-2003 NER": "not run", "SST-2": "supported"})
    claim = next(c for c in peters2019.p1(gains({"small_bert": {"sst": 5.0}})) if c.models)
    assert claim.verdict == "contradicted"


def test_means_need_all_their_tasks(gains):
    claim = only(peters2019.p5(gains({"small_bert": {**BERT, "mnli": 0.0}})))
    assert claim.estimate.mean == pytest.approx((2.3 + 6.7 + 4.2) / 3 - (0.2 + 0.5 + 0.0 + 1.0) / 4)
    assert claim.published == pytest.approx(3.975, abs=0.001)
    without = {task: gain for task, gain in BERT.items() if task != "mnli"}
    claim = only(peters2019.p5(gains({"small_bert": without})))
    assert claim.verdict == "inconclusive" and "not decided without MNLI" in claim.note
    assert not math.isnan(claim.estimate.mean)
    assert only(peters2019.p5(gains({"small_bert": {"sst": 1.0}}))).verdict == "not run"


def test_one_seed_decides_nothing(study):
    evidence = study({("small_bert", "sst", "tune"): {1: 95.0}, ("small_bert", "sst", "freeze"): {1: 80.0}})
    part = peters2019.p1(evidence)[0].parts[1]
    assert (part.verdict, part.note, part.estimate.n) == ("inconclusive", "one seed: no interval", 1)


def test_sides_without_a_common_seed(study):
    evidence = study({("small_bert", "sst", "tune"): {1: 95.0, 2: 95}, ("small_bert", "sst", "freeze"): {3: 80.0}})
    part = peters2019.p1(evidence)[0].parts[1]
    assert (part.verdict, part.note) == ("inconclusive", "the two sides have no seed in common")


def test_signs_are_asked_only_where_both_models_move(gains):
    claim = only(peters2019.p6(gains(PAPER)))
    # On SICK-E BERT's interval holds 1 point, but the signs are clear.
    assert parts(claim) == {
        "opposite signs, SICK-E": "supported",
        "opposite signs, SICK-R": "supported",
        "opposite signs, MRPC": "supported",
        "mean gain of ELMo": "supported",
        "mean gain of BERT-base": "supported",
    }
    same = only(peters2019.p6(gains({"small_elmo": {**ELMO, "mrpc": 2.0}, "small_bert": {**BERT, "sick_e": 0.5}})))
    assert parts(same)["opposite signs, MRPC"] == "contradicted" and same.verdict == "contradicted"
    still = only(peters2019.p6(gains({"small_elmo": dict.fromkeys(ELMO, -0.5), "small_bert": BERT})))
    assert parts(still)["opposite signs"] == "inconclusive"


def test_frozen_bert_against_frozen_elmo(study):
    tasks = [name for name in ELMO if name != "sick_e"]
    scores = {("small_bert", task, "freeze"): 85.0 for task in tasks}
    scores |= {("small_elmo", task, "freeze"): {1: 84.0, 2: 84.2, 3: 84.1} for task in tasks}
    claim = only(peters2019.p7(study(scores)))
    assert claim.verdict == "supported" and "SICK-E" not in parts(claim)
    scores["small_elmo", "ner", "freeze"] = {1: 89.0, 2: 89.2, 3: 89.1}
    assert only(peters2019.p7(study(scores))).verdict == "contradicted"


def test_bi_attention_for_elmo(study):
    tasks = ("sick_e", "sick_r", "mrpc", "stsb")
    scores = {("small_elmo", task, "tune_attention"): {1: 80.0, 2: 80.1, 3: 80.2} for task in tasks}
    scores |= {("small_elmo", task, "tune"): {1: 60.0, 2: 60.2, 3: 60.1} for task in tasks}
    claim = only(peters2019.p8(study(scores)))
    assert claim.verdict == "supported" and claim.recipes == ("tune_attention", "tune")
    assert claim.parts[0].published == pytest.approx(83.8 - 70.9) and claim.parts[0].published_verified is False


def test_joint_against_separate_encoding(study):
    tasks = ("sick_e", "sick_r", "mrpc", "stsb")
    scores = {("small_bert", task, "freeze"): {1: 80.0, 2: 80.1, 3: 80.2} for task in tasks}
    scores |= {("small_bert", task, "freeze_separate"): {1: 79.0, 2: 79.2, 3: 79.1} for task in tasks}
    claim = only(peters2019.p9(study(scores)))
    assert (claim.verdict, claim.published_verified) == ("supported", False)
    assert claim.estimate.mean == pytest.approx(1.0)
    assert claim.published == pytest.approx((85.5 - 81.2 + 86.4 - 86.8 + 88.1 - 86.8 + 83.3 - 81.4) / 4)


def test_heads_for_labelling(study):
    scores = {
        "freeze_lstm": 95.5,
        "freeze_crf": {1: 91.9, 2: 91.7, 3: 91.8},
        "tune_crf_gradual": {1: 95.5, 2: 95.4, 3: 95.6},
        "tune_crf": {1: 95.1, 2: 95.0, 3: 95.0},
        "tune_lstm": {1: 94.8, 2: 94.9, 3: 94.9},
    }
    evidence = study({("small_elmo", "ner", recipe): score for recipe, score in scores.items()})
    wide = next(claim for claim in peters2019.p10(evidence) if claim.models)
    assert (wide.verdict, wide.recipes) == ("supported", ("freeze_lstm", "freeze_crf"))
    claim = next(claim for claim in peters2019.p11(evidence) if claim.models)
    assert parts(claim) == {
        "biLSTM-CRF minus CRF": "supported",
        "gradual unfreezing minus none": "supported",
        "fine-tuning minus extraction": "supported",
    }
    # The best CRF is the gradually unfrozen one.
    assert claim.parts[0].recipes == ("tune_lstm", "tune_crf_gradual")
    narrow = study(
        {("small_elmo", "ner", "freeze_lstm"): 92.0, ("small_elmo", "ner", "freeze_crf"): {1: 91.9, 2: 91.8}}
    )
    assert peters2019.p10(narrow)[0].verdict == "inconclusive"


def genres(gain, jsd=(0.21, 0.18, 0.14, 0.09, 0.1)):
    rows = [
        {"model": "small_bert", "task": "mnli", "reference": "books", "size": "all", "finetune": "tune",
         "extract": "freeze", "group": f"g{i}", "jsd": jsd[i], "gain": g, "gain_sd": 0.01, "gain_n": 3,
         "gain_low": g - 0.01, "gain_high": g + 0.01, "p": 0.1}
        for i, g in enumerate(gain)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_domain(gains):
    evidence = gains(PAPER)
    none = only(peters2019.p12(evidence, genres((0.01, -0.02, 0.015, 0.01, -0.01))))
    assert (none.verdict, none.tasks, none.recipes) == ("supported", ("mnli",), ("tune", "freeze"))
    assert none.estimate.low < none.estimate.mean < none.estimate.high and none.estimate.n == 5
    strong = only(peters2019.p12(evidence, genres((0.021, 0.018, 0.014, 0.009, 0.0105))))
    assert strong.verdict == "contradicted" and "p = 0.0" in strong.note
    twice = pd.concat([genres((0.021, 0.018, 0.014, 0.009, 0.0105)), genres((0, 1, 0, 1, 0)).assign(reference="news")])
    assert only(peters2019.p12(evidence, twice)).estimate == strong.estimate
    few = only(peters2019.p12(evidence, genres((0.02, 0.01, 0.03))))
    assert few.verdict == "inconclusive"
    assert only(peters2019.p12(evidence, None)).verdict == "not run"


def curves(values, measure="probe", metrics=None, seeds=(1, 2, 3), model="small_bert"):
    """Rows from {task: {state: [value of layer 0, 1, ...]}}; seed s adds s/1000."""
    rows = [
        (model, task, "tune", "all", seed, state, layer, measure, (metrics or {}).get(task, "bits"),
         value + seed / 1000, 872)
        for task, states in values.items()
        for state, of_layers in states.items()
        for layer, value in enumerate(of_layers)
        for seed in seeds
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(diagnostics.COLUMNS)).astype(diagnostics.COLUMNS)


METRICS = {"cola": "accuracy", "sst": "accuracy", "mrpc": "accuracy", "stsb": "pearson"}
RISING, FLAT = [0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85], [0.5, 0.6, 0.7, 0.705, 0.70, 0.70, 0.705]


def test_layers_before_and_after(gains):
    evidence = gains(PAPER)
    before = {"cola": RISING, "sst": RISING, "mrpc": FLAT, "stsb": FLAT}
    better = {task: {"pretrained": of, "finetuned": [v + 0.1 for v in of]} for task, of in before.items()}
    table = curves(better, metrics=METRICS)
    # The tiny differences of seeds are the same before and after: no interval could be narrower.
    assert only(peters2019.p13(evidence, table)).verdict == "supported"
    assert only(peters2019.p14(evidence, table)).verdict == "supported"

    worse = {**better, "sst": {"pretrained": RISING, "finetuned": [*RISING[:3], 0.2, *RISING[4:]]}}
    claim = only(peters2019.p13(evidence, curves(worse, metrics=METRICS)))
    part = next(part for part in claim.parts if part.part == "SST-2")
    assert claim.verdict == part.verdict == "contradicted"
    assert part.estimate.mean == pytest.approx(-50) and "layer 3 speaks most against it, 5 of 6 layers" in part.note

    flat = {**better, "cola": {"pretrained": FLAT[::-1]}}
    assert only(peters2019.p14(evidence, curves(flat, metrics=METRICS))).verdict == "contradicted"


def test_layers_that_were_not_probed(gains):
    evidence = gains(PAPER)
    table = curves({"cola": {"pretrained": RISING}}, metrics=METRICS)
    claim = only(peters2019.p14(evidence, table))
    assert claim.verdict == "inconclusive"
    assert parts(claim) == {"CoLA": "supported", "SST-2": "not run", "MRPC": "not run", "STS-B": "not run"}
    assert only(peters2019.p13(evidence, table)).verdict == "not run"
    assert {claim.verdict for claim in peters2019.p15(evidence, table)} == {"not run"}


def test_information_in_layers(gains):
    zero = [0.0] * 7
    late, early = [0, 0, 0, 0, 0.1, 0.3, 0.6], [0, 0, 0, 0.2, 0.3, 0.35, 0.4]
    spread = {"pretrained": zero}
    of_tasks = {
        "cola": {**spread, "finetuned": late, "random labels": [0.1] * 7},
        "sst": {"pretrained": [*zero[:-1], 0.2], "finetuned": late},
        "mrpc": {**spread, "finetuned": early},
    }
    table = curves(of_tasks, measure="mutual_information")
    # Make the differences of seeds differ, as those of real runs do.
    table.loc[table["state"] == "finetuned", "value"] *= 1 + table["seed"] / 500
    claim = only(peters2019.p15(gains(PAPER), table))
    assert claim.verdict == "supported", parts(claim)
    assert claim.parts[0].controls == "random labels: 0.102 on average, 0.101 to 0.103"
    assert claim.parts[3].controls == "" and {part.unit for part in claim.parts} == {"bits"}
    table.loc[(table["task"] == "cola") & (table["layer"] == 4), "value"] *= 5
    claim = only(peters2019.p15(gains(PAPER), table))
    assert parts(claim)["CoLA, in the last layers"] == "contradicted"


def test_models_that_play_the_same_model_have_a_claim_each(gains):
    evidence = gains({"small_bert": BERT})
    both = replace(
        evidence,
        models={**evidence.models, "own_bert": evidence.models["small_bert"].model_copy(update={"stand_in": False})},
        scores={**evidence.scores, **{("own_bert", task): of for (_, task), of in evidence.scores.items()}},
    )
    first, second = peters2019.p3(both)
    assert (first.models, second.models) == (("small_bert",), ("own_bert",))
    assert first.stand_ins == ("small_bert for BERT-base",) and second.stand_ins == ()


def test_the_papers_own_data_are_preferred_to_stand_ins(gains):
    evidence = gains({"small_bert": {"sst": 0.5, "cola": 9.0}})
    films = evidence.tasks["cola"].model_copy(update={"paper_name": "SST-2", "stand_in": True})
    evidence = replace(evidence, tasks={**evidence.tasks, "cola": films})
    claim = peters2019.p1(evidence)[0]
    assert claim.tasks == ("sst",)
    alone = replace(evidence, scores={key: of for key, of in evidence.scores.items() if key[1] != "sst"})
    claim = peters2019.p1(alone)[0]
    assert claim.tasks == ("cola",) and "cola for SST-2" in claim.stand_ins and claim.verdict == "contradicted"


def test_a_number_in_another_metric_is_not_put_beside(gains):
    evidence = gains({"small_bert": {"mrpc": 6.7}})
    by_f1 = evidence.tasks["mrpc"].model_copy(update={"metric": "macro_f1"})
    evidence = replace(evidence, tasks={**evidence.tasks, "mrpc": by_f1})
    part = next(part for part in only(peters2019.p3(evidence)).parts if part.part == "MRPC")
    assert part.published is None and part.note == "in macro_f1, the paper's number is accuracy"


def test_a_study_without_the_papers_models_runs_none(gains, study):
    for evidence in (study({}), gains({"other": BERT})):
        claims = peters2019.claims(evidence)
        assert [claim.id for claim in claims] == [f"P{i}" for i in range(1, 16)]
        assert {claim.verdict for claim in claims} == {"not run"}
        assert all(claim.part == WHOLE and claim.models == () for claim in claims)


def test_published_differences_are_those_of_the_published_scores():
    """The paper's own table: one cell, ELMo on SICK-E, does not add up there."""
    table2 = read("peters2019").query("table == 'Table 2' and model != 'Skip-thoughts'")
    wide = table2.pivot(index=["model", "task"], columns="setting", values="value")
    assert len(wide) == 14 and table2["verified"].all()
    off = (wide["finetune"] - wide["extract"] - wide["difference"]).abs() > 0.05
    assert list(wide.index[off]) == [("ELMo", "SICK-E")]
    others = read("peters2019").query("table != 'Table 2'")
    assert len(others) == 83 - 47 and not others["verified"].any()


HALVES = {"test": {"good": 500, "bad": 500}, "validation": {"good": 50, "bad": 50}}


@pytest.mark.parametrize("counts", [{"sst": HALVES}, {}])
def test_what_learnt_nothing_decides_nothing(study, counts):
    """Two untrained sides are equal to a point, whether their labels were counted or not."""
    scores = {("small_elmo", "sst", recipe): dict.fromkeys((1, 2, 3), 49.9) for recipe in ("tune", "freeze")}
    scores |= {("small_elmo", "ner", recipe): dict.fromkeys((1, 2, 3), 0.0) for recipe in ("tune", "freeze")}
    claim = next(claim for claim in peters2019.p1(study(scores, counts=counts)) if claim.models)
    assert (claim.verdict, set(parts(claim).values())) == ("inconclusive", {"inconclusive"})
    assert all(NEITHER_LEARNT in part.note and part.estimate.mean == 0 for part in claim.parts)
    # One side that did learn is enough for a comparison.
    scores["small_elmo", "sst", "tune"] = {1: 80.0, 2: 80.1, 3: 80.2}
    claim = next(claim for claim in peters2019.p1(study(scores, counts=counts)) if claim.models)
    assert claim.verdict == parts(claim)["SST-2"] == "contradicted"


def test_a_mean_is_not_decided_with_a_task_on_which_nothing_was_learnt(gains):
    evidence = gains({"small_bert": BERT}, counts={"sick_e": {"test": {"neutral": 85, "other": 15}}})
    claim = only(peters2019.p5(evidence))
    assert claim.verdict == "inconclusive" and claim.note.endswith(f"{NEITHER_LEARNT} on sick_e")
    assert claim.estimate.mean > 3
    assert only(peters2019.p6(gains(PAPER, counts=evidence.label_counts))).verdict == "inconclusive"


def test_probes_that_learnt_nothing_decide_nothing(gains):
    flat = {task: {"pretrained": [0.5] * 7, "finetuned": [0.5] * 7} for task in METRICS}
    counts = dict.fromkeys(METRICS, HALVES)
    evidence, table = gains(PAPER, counts=counts), curves(flat, metrics=METRICS)
    table["value"] = 0.5
    # A correlation of 0.5 is something, flat or not; an accuracy of 0.5 is not.
    for judge in (peters2019.p13, peters2019.p14):
        found = parts(only(judge(evidence, table)))
        assert found == {**dict.fromkeys(("CoLA", "SST-2", "MRPC"), "inconclusive"), "STS-B": "supported"}
    table["value"] = 0.6
    assert set(parts(only(peters2019.p13(evidence, table))).values()) == {"supported"}


def test_the_papers_own_cased_and_uncased_model_are_judged_together(gains):
    apart = {"uncased": {task: gain for task, gain in BERT.items() if task != "ner"}, "cased": {"ner": BERT["ner"]}}
    own = {name: MODELS["small_bert"].model_copy(update={"stand_in": False}) for name in apart}
    evidence = gains(apart, models=own)
    claim = only(claim for claim in peters2019.p1(evidence))
    assert (claim.verdict, claim.models) == ("supported", ("uncased", "cased"))
    assert {part.part: part.models for part in claim.parts} == {"CoNLL-2003 NER": ("cased",), "SST-2": ("uncased",)}
    # Needs all seven tasks.
    assert only(peters2019.p5(evidence)).verdict == "supported"
    stand_ins = gains(apart, models=dict.fromkeys(apart, MODELS["small_bert"]))
    assert [claim.models for claim in peters2019.p1(stand_ins)] == [("uncased",), ("cased",)]
