"""The claims on a made-up study in which all of them hold, and on changes to it."""

import math

import numpy as np
import pytest

from transfer_atlas.analysis.claims import mohapatra2022
from transfer_atlas.analysis.claims.claim import NO_SCATTER, Claim, table
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT
from transfer_atlas.analysis.claims.mohapatra2022.subject import paper_model
from transfer_atlas.analysis.published.user import PrintedGain
from transfer_atlas.settings import Intermediate

from .transfer_study import GAINS, LARGE, SEEDS, SMALL, WITHOUT, Study, around, model, paper

NAMES = [f"M{number}" for number in range(1, 7)]


def judged(study: Study, **others) -> dict[str, Claim]:
    return {claim.id: claim for claim in mohapatra2022.claims(study.known(), **others)}


def parts(claim: Claim) -> dict[str, str]:
    return {part.part: part.verdict for part in claim.parts}


def test_a_study_like_the_papers_supports_all_claims():
    found = judged(paper())
    assert {name: claim.verdict for name, claim in found.items()} == dict.fromkeys(NAMES, "supported")
    assert [row["claim"] for row in table(list(found.values())).to_dict("records") if row["part"] == "all"] == NAMES
    for claim in found.values():
        assert claim.paper == "mohapatra2022" and claim.threshold and claim.bound
        assert claim.models == ("bert", "roberta", "xlnet") and set(claim.tasks) == set(GAINS)
        assert claim.stand_ins[0] == "bert for BERT-base" and "unknown" in claim.stand_ins[-1]
    for name in set(NAMES) - {"M3"}:
        found_in = found[name].estimate
        assert found_in.low <= found_in.mean <= found_in.high and found_in.n > 1
        assert list(parts(found[name])) == ["BERT alone", "RoBERTa alone", "XLNet alone"]


def test_a_study_without_intermediate_tasks_ran_none():
    found = mohapatra2022.claims(Study().known())
    assert [claim.id for claim in found] == NAMES
    assert {claim.verdict for claim in found} == {"not run"}
    assert not any(claim.models or claim.stand_ins or claim.controls for claim in found)


def test_m1_is_the_sign_test_over_cells():
    claim = judged(paper())["M1"]
    # 15 of 18 cells lose; the exact interval of a share of 15 of 18.
    assert claim.estimate.mean == pytest.approx(15 / 18) and claim.estimate.n == 18
    assert (claim.estimate.low, claim.estimate.high) == pytest.approx((0.5858, 0.9642), abs=1e-4)
    assert "15 lower and 3 higher with an intermediate task, two-sided sign test p = 0.00754" in claim.note
    assert "bootstrap over 5 seeds: 0.83 to 0.83" in claim.note
    # Six cells of one model cannot decide it.
    assert parts(claim) == dict.fromkeys(("BERT alone", "RoBERTa alone", "XLNet alone"), "inconclusive")


def test_m1_and_m2_are_contradicted_where_most_cells_gain():
    study = paper()
    for task in GAINS:
        study.gain(task, 1.0 + len(task) / 10)
    found = judged(study)
    assert (found["M1"].verdict, found["M1"].estimate.mean) == ("contradicted", 0.0)
    assert found["M2"].verdict == "contradicted"
    assert parts(found["M2"])["BERT alone"] == "contradicted"


def test_a_cell_that_does_not_differ_is_no_vote():
    study = paper()
    for name in study.models:
        study.put((name, "text_first", "text_other"), study.scores[name, "none", "text_other"][LARGE]["tune"])
    claim = judged(study)["M1"]
    assert (claim.estimate.mean, claim.estimate.n) == (1.0, 15)


def test_the_bootstrap_tells_how_sure_the_signs_are():
    study = paper()
    for task in ("text_de", "opinion_de", "likeness_de"):
        # One seed out of five makes the sign.
        for name in study.models:
            before = f"{task.split('_')[0]}_first"
            base = study.scores[name, "none", task][LARGE]["tune"]
            study.put((name, before, task), {seed: base[seed] + (5.0 if seed == 1 else -1.0) for seed in SEEDS})
    note = judged(study)["M1"].note
    low, high = (float(part) for part in note.split("seeds: ")[1].split(";")[0].split(" to "))
    assert low == pytest.approx(6 / 18, abs=0.01) and high == pytest.approx(15 / 18, abs=0.01)


def test_m2_has_its_interval_over_cells_and_tells_that_over_seeds():
    claim = judged(paper())["M2"]
    mean = sum(GAINS.values()) / 6
    assert claim.estimate.mean == pytest.approx(mean) and claim.estimate.n == 18
    assert claim.estimate.high - claim.estimate.low > 1
    assert f"over seeds −{abs(mean):.2f} [" in claim.note and "n = 5 seeds" in claim.note
    # The same gains in fewer cells are less sure.
    assert parts(claim)["BERT alone"] == "inconclusive"


def test_m3_needs_a_gain_beyond_noise_anywhere_and_in_the_more_general_family():
    found = judged(paper())["M3"]
    deciding = {"anywhere": "supported", "in text classification": "supported"}
    assert parts(found).items() >= deciding.items()
    anywhere = found.parts[0]
    assert anywhere.estimate.mean == pytest.approx(1.5) and anywhere.estimate.n == 5
    assert "helps in 3 of 18 cells after Holm's correction" in anywhere.note
    assert "text_first before text_other with" in anywhere.note

    elsewhere = paper()
    elsewhere.gain("text_other", -1.5)
    elsewhere.gain("opinion_other", 1.5)
    claim = judged(elsewhere)["M3"]
    assert claim.verdict == "contradicted"
    assert parts(claim).items() >= {"anywhere": "supported", "in text classification": "contradicted"}.items()


def test_m3_gains_that_may_be_noise_decide_nothing():
    study = paper()
    for name in study.models:
        base = study.scores[name, "none", "text_other"][LARGE]["tune"]
        # p is 0.01 or so by itself: one of 18 cells may have that by chance.
        gains = dict(zip(SEEDS, (0.4, 1.0, 1.6, 2.2, 2.6), strict=True))
        study.put((name, "text_first", "text_other"), {seed: base[seed] + gains[seed] for seed in SEEDS})
    alone = judged(study)["M3"].parts[0]
    assert alone.verdict == "inconclusive" and alone.estimate.low > 0
    # A smaller gain that is surely none speaks before it.
    base = study.scores["bert", "none", "opinion_other"][LARGE]["tune"]
    sure = dict(zip(SEEDS, (0.29, 0.30, 0.31, 0.30, 0.30), strict=True))
    study.put(("bert", "opinion_first", "opinion_other"), {seed: base[seed] + sure[seed] for seed in SEEDS})
    surest = judged(study)["M3"].parts[0]
    assert surest.estimate.low < alone.estimate.low
    assert surest.verdict == "supported" and "opinion_first before opinion_other with bert" in surest.note
    study.gain("opinion_other", -1.0)
    for name in ("roberta", "xlnet"):
        del study.scores[name, "text_first", "text_other"]
    for task in set(GAINS) - {"text_other"}:
        for name in study.models:
            del study.scores[name, f"{task.split('_')[0]}_first", task]
    assert judged(study)["M3"].parts[0].verdict == "supported"


def test_m4_compares_pairs_with_seeds():
    assert "n counts pairs of tasks, 5 seeds each" in judged(paper())["M4"].note
    alike = paper()
    for task in GAINS:
        alike.gain(task, -1.0)
    claim = judged(alike)["M4"]
    assert claim.verdict == "contradicted" and claim.estimate.n == 6 and claim.estimate.mean < 0.5


def test_m4_holds_pairs_against_the_noise_of_a_model_however_many_there_are():
    """Models that differ by their noise only: together they vary no more between pairs than the ones alone."""
    study = Study()
    draws = np.random.default_rng(0)
    for turn, task in enumerate(GAINS):
        for name in study.models:
            scores = {seed: WITHOUT + 2 * turn + draws.normal(0, 2) for seed in range(1, 41)}
            study.put((name, f"{task.split('_')[0]}_first", task), scores)
            study.put((name, "none", task), dict.fromkeys(scores, WITHOUT))
    claim = judged(study)["M4"]
    alone = [part.estimate.mean for part in claim.parts]
    assert len(alone) == 3 and min(alone) < claim.estimate.mean < max(alone)
    assert claim.estimate.low < claim.estimate.mean < claim.estimate.high


def test_m4_leaves_out_pairs_that_some_models_lack():
    study = paper()
    del study.scores["xlnet", "text_first", "text_other"]
    assert judged(study)["M4"].estimate.n == 5
    for task in GAINS:
        before = f"{task.split('_')[0]}_first"
        study.scores.pop(("xlnet" if "de" in task else "bert", before, task), None)
    claim = judged(study)["M4"]
    assert claim.verdict == "not run" and "no pair was run with all models" in claim.note
    assert parts(claim)["RoBERTa alone"] == "supported"


def test_m5_is_a_slope_on_the_doublings():
    found = judged(paper())["M5"]
    # Two points less over four doublings.
    assert found.estimate.mean == pytest.approx(-0.5) and found.estimate.n == 18
    assert found.unit == "points a doubling" and "100 to 1,600 train examples" in found.note
    # Only where a gain at 100 (+1.0 and +0.8) is a loss at 1600.
    assert "in 6 of 18 cells a gain at the smallest size is a loss at the largest" in found.note
    rising = paper()
    for task, points in GAINS.items():
        rising.gain(task, points - 2, SMALL)
    assert judged(rising)["M5"].verdict == "contradicted"


def test_m5_is_not_run_at_one_size():
    study = paper()
    for by_size in study.scores.values():
        del by_size[SMALL]
    found = judged(study)
    assert found["M5"].verdict == "not run" and "no cell was run at two sizes" in found["M5"].note
    assert found["M1"].verdict == "supported"


def test_m6_is_about_any_difference():
    claim = judged(paper())["M6"]
    domain, languages = -0.7 / 3, -4.0
    assert claim.estimate.mean == pytest.approx(domain - languages) and claim.estimate.n == 9
    assert "domain −0.23" in claim.note and "cross-lingual −4.00" in claim.note

    for other, verdict in ((-0.1, "contradicted"), (-3.0, "inconclusive")):
        study = paper()
        for task in GAINS:
            # Alike within a point; or alike, but too scattered to say so.
            up = 1 if task.startswith("text") else -1 if task.startswith("opinion") else 0
            study.gain(task, -1.0 + up * other)
        assert judged(study)["M6"].verdict == verdict

    one_setting = paper()
    for place in list(one_setting.scores):
        if place[1] != "none" and place[2].endswith("_de"):
            del one_setting.scores[place]
    assert judged(one_setting)["M6"].verdict == "not run"


def test_cells_are_pairs_of_one_family_in_one_of_the_papers_settings():
    study = paper()
    for before, task in (("text_first", "opinion_other"), ("opinion_first", "likeness_de")):
        for name in study.models:
            study.put((name, before, task), 99.0)
    # Neither another domain nor another language.
    study.tasks["text_other"] = study.tasks["text_other"].model_copy(update={"domain": "films"})
    assert judged(study)["M1"].estimate.n == 15
    # A chain is another design.
    study.intermediates["text_first"] = Intermediate(task="text_base", recipe="tune", after="opinion_first")
    assert judged(study)["M1"].estimate.n == 12


def test_models_that_play_nobody_are_no_cells_and_controls_stand_apart():
    study = paper()
    study.models |= {"other": model(None), "electra": model("ELECTRA"), "many": model("mBERT")}
    for task in GAINS:
        before = f"{task.split('_')[0]}_first"
        for name in ("other", "electra", "many"):
            study.put((name, "none", task), WITHOUT)
            study.put((name, before, task), WITHOUT + 5)
    claim = judged(study)["M2"]
    assert claim.estimate.n == 18 and claim.verdict == "supported"
    (control,) = [part for part in claim.parts if part.part.startswith("mBERT, a control")]
    assert control.estimate.mean == pytest.approx(5) and control.models == ("many",)
    assert len(claim.parts) == 4


def test_two_entries_of_one_model_are_named():
    study = paper()
    study.models["bigger"] = model("BERT-large", stand_in=False)
    for task, points in GAINS.items():
        study.put(("bigger", "none", task), WITHOUT)
        study.gain(task, points, models=("bigger",))
    claim = judged(study)["M2"]
    assert {"BERT alone (bert)", "BERT alone (bigger)"} <= set(parts(claim)) and claim.estimate.n == 24
    assert "bigger" not in " ".join(claim.stand_ins)


@pytest.mark.parametrize(
    ("name", "played"),
    [
        *[("BERT", "BERT"), ("BERT-base", "BERT"), ("RoBERTa-large", "RoBERTa"), ("mBERT", "mBERT")],
        *[("XLM-R", "XLM-R"), ("BERTweet", None), ("ELMo", None), (None, None)],
    ],
)
def test_a_size_plays_its_family(name, played):
    assert paper_model(name) == played


def test_controls_stand_beside():
    study = paper()
    for task in GAINS:
        study.control(task, beyond=0.5)
    study.intermediates["text_kept"] = Intermediate(task="text_base", recipe="tune", head="keep")
    for name in study.models:
        study.put((name, "text_kept", "text_other"), WITHOUT + 3)
    found = judged(study)
    assert {claim.verdict for claim in found.values()} == {"supported"}
    assert found["M2"].estimate.n == 18
    assert "against as many updates on the target: +0.50 [" in found["M2"].controls
    assert "with the head kept: +3.00 [" in found["M2"].controls and "n = 3" in found["M2"].controls
    assert "with the head kept: 0.00 [" in found["M1"].controls
    assert "with the head kept: helps in 3 of 3 cells" in found["M3"].controls
    bert = found["M2"].parts[0]
    assert "train examples" not in found["M2"].controls
    assert "with the head kept: +3.00, n = 1" in bert.controls


def test_a_control_at_another_size_says_so():
    study = paper()
    for task in GAINS:
        study.control(task, beyond=0.5)
    for place, by_size in study.scores.items():
        if place[1].startswith("none~"):
            by_size[SMALL] = by_size.pop(LARGE)
    # The gain at the small size is 2 points larger than the one that the control was made for.
    controls = judged(study)["M2"].controls
    assert "against as many updates on the target (at 100 train examples): +2.50 [" in controls


def test_a_pair_is_one_cell_with_a_new_head_if_that_was_run():
    study = paper()
    study.intermediates = {
        **{"text_kept": Intermediate(task="text_base", recipe="tune", head="keep")},
        **study.intermediates,
        **{"text_again": Intermediate(task="text_base", recipe="tune", size=100)},
        **{"text_crossed": Intermediate(task="text_base", recipe="tune", head="keep")},
    }
    for before in ("text_kept", "text_again", "text_crossed"):
        for task in ("text_other", "text_de"):
            for name in study.models:
                study.put((name, before, task), 99.0)
    claim = judged(study)["M2"]
    assert claim.estimate.n == 18 and claim.estimate.mean == pytest.approx(sum(GAINS.values()) / 6)
    assert "kept" not in claim.note and "with the head kept: +19.00" in claim.controls
    for task in ("text_other", "text_de"):
        for name in study.models:
            for before in ("text_first", "text_again"):
                del study.scores[name, before, task]
    claim = judged(study)["M2"]
    assert claim.estimate.n == 18 and claim.estimate.mean > 0 and claim.controls == ""
    assert "in 6 of 18 cells the head of the intermediate task is kept" in claim.note


def test_cells_that_learnt_nothing_are_left_out():
    study = paper()
    study.counts = {"text_de": {"test": {"good": 85, "bad": 15}}}
    found = judged(study)
    assert f"3 of 18 cells left out: {NEITHER_LEARNT}" in found["M1"].note
    assert found["M1"].estimate.n == 15
    for task in set(GAINS) - {"text_de"}:
        for name in study.models:
            del study.scores[name, "none", task]
    assert {claim.verdict for claim in judged(study).values()} == {"inconclusive"}


def test_sizes_at_which_nothing_was_learnt_are_no_part_of_the_slope():
    study = paper()
    study.counts = {"text_de": {"test": {"good": 79, "bad": 21}}}
    study.gain("text_de", -5.0, SMALL)
    for name in study.models:
        study.put((name, "none", "text_de"), 79.0, SMALL)
    assert judged(study)["M5"].estimate.n == 15 and judged(study)["M1"].estimate.n == 18


def test_an_undefined_score_is_never_left_out():
    study = paper()
    study.put(("bert", "text_first", "text_other"), around(math.nan))
    found = judged(study)
    for name in ("M1", "M2", "M4", "M6"):
        assert found[name].verdict == "inconclusive" and "a score is undefined" in found[name].note
        assert math.isnan(found[name].estimate.mean)
    # One cell is enough for the others to help.
    assert found["M3"].parts[0].verdict == "supported"


def test_one_seed_has_no_noise_to_be_beyond():
    study = paper()
    for by_size in study.scores.values():
        for recipes in by_size.values():
            recipes["tune"] = {1: recipes["tune"][1]}
    found = judged(study)
    assert found["M3"].verdict == found["M4"].verdict == "inconclusive"
    assert "no cell has an interval" in found["M3"].parts[0].note
    # The sign test is one over cells.
    assert found["M1"].verdict == "supported" and "bootstrap" not in found["M1"].note


def test_a_gain_without_scatter_is_told():
    study = paper()
    assert NO_SCATTER not in judged(study)["M3"].parts[0].note
    study.put(("bert", "none", "text_other"), dict.fromkeys(SEEDS, 80.0))
    study.put(("bert", "text_first", "text_other"), dict.fromkeys(SEEDS, 83.0))
    assert NO_SCATTER in judged(study)["M3"].parts[0].note


def test_one_cell_decides_nothing_but_that_it_helps():
    study = paper()
    study.scores = {
        place: by_size for place, by_size in study.scores.items() if place[0] == "bert" and place[2] == "text_other"
    }
    found = judged(study)
    assert {name: claim.verdict for name, claim in found.items()} == {
        **dict.fromkeys(("M1", "M2", "M4", "M5"), "inconclusive"),
        **{"M3": "supported", "M6": "not run"},
    }
    assert parts(found["M1"])["XLNet alone"] == "not run"


@pytest.mark.parametrize("seed", [1, [1, 2]])
def test_intermediate_trainings_that_all_seeds_share_are_told(seed):
    study = paper()
    assert "start from the same" not in judged(study)["M1"].note
    study.intermediates = {name: entry.model_copy(update={"seed": seed}) for name, entry in study.intermediates.items()}
    assert "in 18 of 18 cells all seeds start from the same intermediate training" in judged(study)["M1"].note


def test_numbers_of_the_user_stand_beside_unverified():
    printed = [
        PrintedGain("BERT", "a", "domain", "accuracy", 80.0, 81.0),
        PrintedGain("BERT", "b", "domain", "accuracy", 83.0, 81.0),
        PrintedGain("BERT", "c", "domain", "accuracy", 78.0, 81.0),
        PrintedGain("BERT", "d", "domain", "accuracy", None, 81.0),
    ]
    found = judged(paper(), printed=printed)
    assert (found["M1"].published, found["M2"].published) == (0.667, pytest.approx(-0.667))
    assert found["M1"].published_verified is False and found["M4"].published is None
    assert all(part.published is None for part in found["M1"].parts)
    assert all(claim.published is None for claim in judged(paper()).values())
