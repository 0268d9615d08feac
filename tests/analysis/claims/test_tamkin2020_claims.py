"""The claims on a made-up study in which all of them hold, and on changes to it."""

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import pytest

from transfer_atlas.analysis.claims import tamkin2020
from transfer_atlas.analysis.claims.claim import Claim, table
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT
from transfer_atlas.analysis.claims.tamkin2020.probing import shape_distance
from transfer_atlas.analysis.claims.tamkin2020.subject import PLOTS, Size
from transfer_atlas.analysis.intervals import estimate
from transfer_atlas.analysis.published import read
from transfer_atlas.settings import Model, Surgery

from .layer_study import BLOCKS, PLAYED, PROGRESSIVE, SURGERIES, Study, paper, runs, runs_shifted, task

NAMES = [f"K{number}" for number in range(1, 16)]


def judged(study: Study) -> dict[str, Claim]:
    return {claim.id: claim for claim in tamkin2020.claims(study.known())}


def claim_of(study: Study, name: str) -> Claim:
    return judged(study)[name]


def parts(claim: Claim) -> dict[str, str]:
    return {part.part: part.verdict for part in claim.parts}


def flat(study: Study, name: str, n_train: int, depths: dict[int, float], surgery: str = "authors") -> None:
    """Other means at some depths of a curve, in place."""
    study.curves[name, n_train, surgery] |= runs(depths)


def test_a_study_like_the_papers_supports_all_claims():
    found = judged(paper())
    assert {name: claim.verdict for name, claim in found.items()} == dict.fromkeys(NAMES, "supported")
    assert [row["claim"] for row in table(list(found.values())).to_dict("records") if row["part"] == "all"] == NAMES
    for claim in found.values():
        assert claim.paper == "tamkin2020" and claim.threshold and claim.stand_ins == ("encoder for BERT-base",)
        for part in claim.parts or (claim,):
            assert part.bound
            assert part.estimate.n >= 5
            if part.bound != "hold under both":
                assert part.estimate.low <= part.estimate.mean <= part.estimate.high


def test_a_study_without_surgeries_ran_none():
    found = tamkin2020.claims(Study().known())
    assert [claim.id for claim in found] == NAMES
    assert {claim.verdict for claim in found} == {"not run"} and not any(claim.models for claim in found)
    # The authors' numbers are shown nevertheless.
    assert next(claim for claim in found if claim.id == "K4").published == 21.62


def test_two_models_are_two_claims():
    known = paper().known()
    second = Model(artifact="b", layers=12, paper_name="BERT-base", stand_in=False)
    evidence = replace(known.evidence, models={**known.evidence.models, "second": second})
    operated = {**known.operated, **{replace(place, model="second"): of for place, of in known.operated.items()}}
    found = tamkin2020.claims(replace(known, evidence=evidence, operated=operated))
    assert [claim.models for claim in found[:2]] == [("encoder",), ("second",)] and found[1].stand_ins == ()
    assert len(found) == 30


def test_another_papers_model_is_not_judged():
    study = paper()
    study.model = study.model.model_copy(update={"paper_name": "ELMo"})
    assert {claim.verdict for claim in judged(study).values()} == {"not run"}


def lower_top(study: Study) -> None:
    """Keeping more is worse."""
    for name, n_train, surgery in list(study.curves):
        if n_train > 500 and surgery == "authors":
            study.curves[name, n_train, surgery] = runs(PROGRESSIVE[name, n_train][::-1])
            study.full[name, n_train] = study.curves[name, n_train, surgery].pop(12)


def early_gain(study: Study) -> None:
    flat(study, "sst", 500, {4: 60})


def learnt_with_two(study: Study) -> None:
    flat(study, "qnli", 500, {2: 55})


def no_rise(study: Study) -> None:
    flat(study, "sst", 500, {4: 70, 6: 75})


def early_layers_for_films(study: Study) -> None:
    flat(study, "sst", 5_000, {4: 88})


def top_needed(study: Study) -> None:
    flat(study, "cola", 8_551, {10: 50})


def three_are_not_enough(study: Study) -> None:
    flat(study, "qnli", 5_000, {3: 70})


def preserved_is_enough(study: Study) -> None:
    study.curves["sst", 5_000, "preserve"] = runs([88.0] * 10, first=1)


def unlike_probes(study: Study) -> None:
    study.probes["sst"] = runs([mean - 30 for mean in PROGRESSIVE["sst", 50_000]])


def order_does_not_matter(study: Study) -> None:
    study.curves["cola", 5_000, "permute"] = runs([50.0] * 10, first=1)


def alike(study: Study) -> None:
    for name in PLAYED:
        study.curves[name, 5_000, "permute"] = runs([20.0 + 40 * (name != "cola") + p for p in range(10)], first=1)


def last_hurts_most(study: Study) -> None:
    study.curves["sst", 5_000, "block"] = runs([*BLOCKS["sst"][:-1], 70], first=1)


def steady(study: Study) -> None:
    study.curves["sst", 500, "authors"] |= runs({6: 74.8}, scale=0.1)


def norms_matter(study: Study) -> None:
    study.curves["qnli", 5_000, "norms"] = runs_shifted(study.curves["qnli", 5_000, "authors"], -5)


def flips(study: Study) -> None:
    flat(study, "sst", 500, {4: 70, 6: 75}, "intended")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("K1", lower_top),
        ("K2", early_gain),
        ("K3", learnt_with_two),
        ("K4", no_rise),
        ("K5", early_layers_for_films),
        ("K6", top_needed),
        ("K7", three_are_not_enough),
        ("K8", preserved_is_enough),
        ("K9", unlike_probes),
        ("K10", order_does_not_matter),
        ("K11", alike),
        ("K12", last_hurts_most),
        ("K13", steady),
        ("K14", norms_matter),
        ("K15", flips),
    ],
)
def test_each_can_be_contradicted(name: str, change: Callable[[Study], None]):
    study = paper()
    change(study)
    assert claim_of(study, name).verdict == "contradicted"


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_decides_nothing(name: str):
    """But for K11, of which permutations are the sample."""
    study = paper()
    one = {where: {depth: {1: scores[1]} for depth, scores in curve.items()} for where, curve in study.curves.items()}
    study.curves, study.full = one, {where: {1: scores[1]} for where, scores in study.full.items()}
    claim = claim_of(study, name)
    assert claim.verdict == ("supported" if name == "K11" else "inconclusive")
    if name == "K10":
        assert set(parts(claim).values()) == {"inconclusive"}


@pytest.mark.parametrize(
    ("left_out", "names"),
    [
        ("authors intended norms fast", {"K1", "K2", "K3", "K4", "K5", "K6", "K7", "K9", "K13", "K14", "K15"}),
        ("preserve", {"K8"}),
        ("permute", {"K10", "K11"}),
        ("block", {"K12"}),
        ("norms fast", {"K14"}),
        ("intended", {"K15"}),
        ("authors norms fast", {"K14", "K15"}),
    ],
)
def test_what_the_grid_lacks_is_not_run(left_out: str, names: set[str]):
    study = paper()
    study.curves = {where: curve for where, curve in study.curves.items() if where[2] not in left_out.split()}
    assert {name for name, claim in judged(study).items() if claim.verdict == "not run"} == names


def test_without_probes():
    study = paper()
    study.probes = {}
    found = judged(study)
    assert found["K8"].verdict == found["K9"].verdict == "not run"
    assert found["K7"].verdict == "inconclusive" and "probes of these layers were not run" in found["K7"].note


def test_k7_says_nothing_of_layers_that_probe_well():
    study = paper()
    study.probes["qnli"] |= runs({2: 60.0})
    claim = claim_of(study, "K7")
    assert claim.verdict == "inconclusive" and "of these layers 2 probes best, at 60.0: not at chance" in claim.note


def test_other_sizes_stand_in_and_are_named():
    study = paper()
    stands_in = {500: 400, 5_000: 2_000, 50_000: 40_000, 8_551: 8_551}
    study.curves = {(name, stands_in[n], surgery): curve for (name, n, surgery), curve in study.curves.items()}
    study.full = {(name, stands_in[n]): scores for (name, n), scores in study.full.items()}
    found = judged(study)
    assert "2,000 train examples instead of 5,000" in found["K7"].note and found["K7"].n_train == 2_000
    assert found["K4"].n_train == 400
    # 40,000 are not all of SST-2's, so nothing plays the paper's 50,000 there.
    assert parts(found["K6"]) == {"SST-2, 5,000": "supported", "SST-2, 50,000": "not run", "CoLA, 8,551": "supported"}
    assert found["K2"].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("sizes", "all_of", "small", "middle", "large", "only"),
    [
        ([500, 5_000, 50_000, 67_000], 67_000, 500, 5_000, 50_000, 5_000),
        ([500, 2_000], None, 500, 2_000, None, 2_000),
        ([200, 500, 1_000, 2_000, 5_000, 20_000], None, 500, 5_000, None, 5_000),
        ([500, 2_000, 8_551], 8_551, 500, 2_000, 8_551, 8_551),
        ([500, 8_551], 8_551, 500, 8_551, 8_551, 8_551),
        ([100, 1_000, 3_000, 20_000], None, 100, 20_000, None, 3_000),
        ([1_000, 30_000], None, 1_000, None, None, 1_000),
        ([2_000, 7_999], 7_999, None, 7_999, None, 7_999),
        ([], 10_000, None, None, None, None),
    ],
)
def test_roles_of_sizes(sizes, all_of, small, middle, large, only):
    assert [size.played_by(sizes, all_of) for size in Size] == [small, middle, large, only]


def test_one_size_for_two_is_judged_once():
    study = paper()
    study.curves = {where: curve for where, curve in study.curves.items() if where[:2] != ("cola", 5_000)}
    claim = claim_of(study, "K1")
    assert [part.part for part in claim.parts if part.tasks == ("cola",)] == ["CoLA, 5,000"]
    assert "8,551 train examples instead of 5,000" in claim.parts[-1].note


def halved(study: Study) -> Study:
    """The same encoder with every other layer."""
    study.model = study.model.model_copy(update={"layers": 6})
    study.only("authors", "intended")
    study.curves = {
        where: {depth // 2: scores for depth, scores in curve.items() if depth % 2 == 0}
        for where, curve in study.curves.items()
    }
    study.probes = {
        name: {layer // 2: scores for layer, scores in curve.items() if layer % 2 == 0}
        for name, curve in study.probes.items()
    }
    return study


def test_six_layers():
    found = judged(halved(paper()))
    assert {found[name].verdict for name in ("K1", "K2", "K3", "K4", "K5", "K6", "K15")} == {"supported"}
    assert found["K4"].estimate.mean == pytest.approx(74.8 - 52.5, abs=0.3)
    assert "of 6 layers instead of 12, k = 4 is 2, 6 is 3" in found["K4"].note
    assert [part.part for part in found["K13"].parts][:3] == [f"SST-2, 500 and 5,000, k = {k}" for k in (4, 6, 8)]


def test_depths_that_fall_together_are_not_compared():
    study = paper()
    study.model = study.model.model_copy(update={"layers": 2})
    study.curves = {
        where: {depth: scores for depth, scores in curve.items() if depth < 2}
        for where, curve in study.only("authors").curves.items()
    }
    found = judged(study)
    assert found["K4"].verdict == found["K6"].verdict == "not run"
    assert "with 2 layers, 6 and 4 of 12 are the same" in found["K4"].note
    assert found["K7"].verdict == "not run" and "with 2 layers, 3 of 12 are none" in found["K7"].note
    assert found["K1"].verdict == "not run" and "needs 5 depths, 3 were run" in found["K1"].parts[0].note
    assert [part.part for part in found["K13"].parts] == [
        f"{name}, 500 and 5,000, k = 4" for name, _ in PLAYED.values()
    ]


def test_another_surgery_is_named():
    study = paper().only("intended", "norms")
    claim = claim_of(study, "K1")
    assert claim.verdict == "supported" and "surgery intended: init truncated_normal" in claim.note
    study = paper()
    study.surgeries["block"] = SURGERIES["block"].model_copy(update={"width": 2})
    assert "surgery block: blocks of 2 layers instead of 3" in claim_of(study, "K12").note


def test_a_higher_rate_does_not_speak_for_the_paper():
    assert claim_of(paper().only("fast"), "K1").verdict == "not run"


def test_blocks_of_the_same_scheme_and_of_three_layers_are_judged():
    study = paper()
    two = SURGERIES["block"].model_copy(update={"width": 2})
    other = SURGERIES["block"].model_copy(update={"init": "model_default"})
    study.surgeries = {"two": two, "other": other, **study.surgeries}
    study.curves["sst", 5_000, "two"] = study.curves["sst", 5_000, "other"] = runs([90.0] * 10, first=1)
    claim = claim_of(study, "K12")
    assert claim.verdict == "supported" and "surgery" not in claim.note


def test_overlapping_blocks_are_not_compared():
    study = paper()
    study.surgeries["block"] = SURGERIES["block"].model_copy(update={"width": 7})
    for name in PLAYED:
        study.curves[name, 5_000, "block"] = runs(BLOCKS[name][:6], first=1)
    claim = claim_of(study, "K12")
    assert parts(claim)["QNLI, 5,000, lowest against highest"] == "not run"


def test_what_is_chosen_is_chosen_on_validation():
    study = paper()
    # On test number 10 of SST-2's permutations is best, and the block at 4 is missed most.
    study.validation["sst", "permute"] = dict.fromkeys(range(1, 11), 60.0) | {3: 70.0}
    study.validation["sst", "block"] = dict.fromkeys(range(1, 11), 60.0) | {6: 50.0}
    study.validation["sst", "probes"] = dict.fromkeys(range(13), 60.0) | {5: 70.0, 6: 70.0, 7: 70.0}
    found = judged(study)
    notes = {part.part: part.note for name in ("K8", "K10", "K12") for part in found[name].parts}
    assert "number 3," in notes["SST-2, 5,000, best permutation"]
    assert "layers 6 to 8 " in notes["SST-2, 5,000, worst against highest"]
    assert "layers 5 to 7 " in notes["SST-2, 5,000"]


def test_neither_side_learnt():
    study = paper()
    flat(study, "sst", 500, {0: 50.9, 4: 50.9, 6: 50.9})
    claim = claim_of(study, "K4")
    assert claim.verdict == "inconclusive" and NEITHER_LEARNT in claim.note
    # That nothing is learnt is what K3 says, and K2 of little data.
    assert claim_of(study, "K3").verdict == "supported"
    assert parts(claim_of(study, "K2")) == {"SST-2, 50,000": "supported", "SST-2, 500": "supported"}
    study.counts = {}
    assert "the score of the majority class is unknown" in claim_of(study, "K3").parts[0].note


def test_own_data_goes_before_stand_ins():
    study = paper()
    study.tasks["sst"] = task("sst", stand_in=True)
    assert claim_of(study, "K4").stand_ins == ("encoder for BERT-base", "sst for SST-2")
    study.tasks["films"] = task("sst")
    for (name, n_train, surgery), curve in list(study.curves.items()):
        if name == "sst":
            study.curves["films", n_train, surgery] = curve
            study.full["films", n_train] = study.full["sst", n_train]
    assert claim_of(study, "K4").tasks == ("films",)
    study.tasks["films"] = task("sst", stand_in=True)
    assert {part.part for part in claim_of(study, "K4").parts} == {"SST-2, 500 (sst)", "SST-2, 500 (films)"}


def test_a_share_of_no_gain_is_undefined():
    study = paper()
    study.full["qnli", 5_000] |= {2: 50.0}
    part = claim_of(study, "K5").parts[0]
    assert part.verdict == "inconclusive" and math.isnan(part.estimate.mean)
    assert "at 1 of 5 seeds all layers together gain nothing" in part.note


def test_k1_is_of_the_means_over_seeds():
    study = paper()
    study.curves["sst", 5_000, "authors"] = runs(PROGRESSIVE["sst", 5_000][:12], scale=30)
    part = claim_of(study, "K1").parts[0]
    assert part.estimate.mean == pytest.approx(1) and part.verdict != "contradicted"
    assert -1 <= part.estimate.low < 0.9 and part.estimate.high == 1 and part.estimate.n == 5
    # Noise breaks the order at each seed; the order of the means is the claim's.
    assert "0.68 on average over each seed's own" in part.note


def test_a_flat_curve_has_no_rank_correlation():
    study = paper()
    study.curves["sst", 5_000, "authors"] = {depth: dict.fromkeys(range(1, 6), 90.0) for depth in range(12)}
    study.full["sst", 5_000] = dict.fromkeys(range(1, 6), 90.0)
    part = claim_of(study, "K1").parts[0]
    assert part.verdict == "inconclusive" and "the same score at all depths" in part.note
    study.curves["sst", 5_000, "authors"][3][2] = math.nan
    assert "a score is undefined" in claim_of(study, "K1").parts[0].note


def test_what_does_not_scatter_is_not_undefined():
    study = paper()
    study.curves["sst", 5_000, "authors"][4] = dict.fromkeys(range(1, 6), 82.8)
    study.curves["sst", 5_000, "fast"][4] = dict.fromkeys(range(1, 6), 80.0)
    found = {part.part: part for name in ("K13", "K14") for part in claim_of(study, name).parts}
    for name, told in (
        ("SST-2, 500 and 5,000, k = 4", "the same score at every seed of one train size"),
        ("SST-2, 5,000, higher rate, sd (fast against authors)", "at some depth the same score at every seed"),
    ):
        assert found[name].verdict == "inconclusive" and told in found[name].note
        assert "undefined" not in found[name].note


def test_a_flat_curve_has_no_shape():
    study = paper()
    study.probes["sst"] = {depth: dict.fromkeys(range(1, 6), 60.0) for depth in range(13)}
    part = claim_of(study, "K9").parts[0]
    assert part.verdict == "inconclusive" and "a curve is flat" in part.note and "undefined" not in part.note


def test_k10_takes_the_permutations_for_a_fixed_set():
    """All permutations are compared with the same runs of the full encoder: these are what may be off by chance."""
    study = paper()
    study.full["sst", 5_000] = {seed: 70.0 + 4 * seed for seed in range(1, 6)}
    part = claim_of(study, "K10").parts[0]
    orders = study.curves["sst", 5_000, "permute"].values()
    by_seed = [full - fmean(scores[seed] for scores in orders) for seed, full in study.full["sst", 5_000].items()]
    assert part.estimate == estimate(by_seed) and part.estimate.n == 5 and part.estimate.low < 10
    assert "of these 10 permutations" in part.note


@pytest.mark.parametrize("lowest", [4, 10])
def test_a_block_that_was_not_run_might_be_worse(lowest: int):
    study = paper()
    for name in PLAYED:
        del study.curves[name, 5_000, "preserve"][lowest], study.curves[name, 5_000, "block"][11 - lowest]
    found = judged(study)
    assert set(parts(found["K8"]).values()) == {"inconclusive"}
    assert all("9 of 10 blocks were both preserved and probed" in part.note for part in found["K8"].parts)
    lowest_against_highest, *others = found["K12"].parts
    assert {part.verdict for part in others} == {"inconclusive"}
    assert all("9 of 10 blocks were run" in part.note for part in others)
    assert lowest_against_highest.verdict == ("not run" if lowest == 10 else "supported")


def test_k12_is_not_contradicted_by_some_blocks():
    study = paper()
    study.curves["sst", 5_000, "block"] = runs({9: 89.6, 10: 85.0})
    part = claim_of(study, "K12").parts[1]
    assert part.estimate.high < 0 and part.verdict == "inconclusive"


def test_k11_needs_all_pairs_to_be_contradicted():
    study = paper()
    alike(study)
    claim = claim_of(study, "K11")
    assert claim.estimate.mean == pytest.approx(1.0) and claim.estimate.n == 10
    del study.curves["cola", 5_000, "permute"]
    assert claim_of(study, "K11").verdict == "inconclusive"
    few = paper()
    few.curves = {
        where: {depth: scores for depth, scores in curve.items() if where[2] != "permute" or depth < 10}
        for where, curve in few.curves.items()
    }
    claim = claim_of(few, "K11")
    assert claim.verdict == "inconclusive" and "9 permutations are too few to tell, the paper has 10" in claim.note


def test_k11_leaves_out_tasks_that_learnt_nothing():
    study = paper()
    study.curves["qnli", 5_000, "permute"] = runs([48 + 0.2 * (7 * p % 10) for p in range(10)], first=1)
    for name in ("sst", "cola"):
        study.curves[name, 5_000, "permute"] = runs([20 + 40 * (name == "sst") + p for p in range(10)], first=1)
    claim = claim_of(study, "K11")
    assert claim.verdict == "inconclusive" and NEITHER_LEARNT in claim.note


def test_k14_is_about_means_over_seeds():
    """Noise of single runs, without any difference of means, is no change."""
    study = paper()
    study.curves["sst", 5_000, "norms"] = runs(PROGRESSIVE["sst", 5_000][:12], scale=20)
    part = claim_of(study, "K14").parts[0]
    assert part.part.startswith("SST-2, 5,000, LayerNorm") and part.estimate.mean == pytest.approx(0, abs=0.1)
    assert part.verdict != "contradicted" and part.estimate.low == 0 and part.estimate.n == 5


def test_k14_names_what_it_compares():
    named = [part.part for part in claim_of(paper(), "K14").parts]
    assert named[:2] == [
        "SST-2, 5,000, LayerNorm kept or reset (norms against authors)",
        "SST-2, 5,000, higher rate, mean (fast against authors)",
    ]
    # Twins that differ in something else are none.
    study = paper()
    study.surgeries["fast"] = study.surgeries["fast"].model_copy(update={"biases": "reset"})
    assert parts(claim_of(study, "K14"))["SST-2, 5,000, higher rate, mean"] == "not run"
    assert claim_of(study, "K14").parts[1].published == pytest.approx(-3.38, abs=0.01)


def test_k15_a_conclusion_that_fails_under_both_does_not_hold():
    study = paper()
    for surgery in ("authors", "intended"):
        flat(study, "sst", 500, {4: 70, 6: 75}, surgery)
    claim = claim_of(study, "K15")
    assert parts(claim)["K4"] == "inconclusive"
    assert claim.parts[3].note == "contradicted under authors_code, contradicted under truncated_normal"
    # Others hold, and none turns over.
    assert claim.verdict == "supported"
    assert claim.note.startswith("of 18 parts of K1 to K7, 16 hold under both, 2 fail under both (K2 SST-2, 500; K4), ")


def test_k15_is_not_supported_where_nothing_holds():
    study = paper()
    study.curves = {where: study.curves[where] for where in study.curves if where[:2] == ("sst", 500)}
    for surgery in ("authors", "intended"):
        flat(study, "sst", 500, {0: 40, 1: 40, 2: 40, 4: 70, 6: 75}, surgery)
    claim = claim_of(study, "K15")
    assert claim.verdict == "inconclusive"
    assert "0 hold under both, 3 fail under both (K2 SST-2, 500; K3 SST-2, 500; K4), 0 turn over" in claim.note


def test_k15_is_undecided_where_nothing_is_decided_twice():
    study = paper()
    for (_name, _n, surgery), curve in study.curves.items():
        if surgery == "intended":
            curve.update({depth: {1: scores[1]} for depth, scores in curve.items()})
    claim = claim_of(study, "K15")
    assert claim.verdict == "inconclusive" and claim.estimate.n == 1
    assert claim.note == ("of 18 parts of K1 to K7, 0 hold under both, 0 fail under both, 0 turn over, 18 undecided")


def test_k15_compares_part_by_part():
    """K5 is contradicted as a whole under either scheme, but not by the same task."""
    study = paper()
    flat(study, "sst", 5_000, {4: 88})
    flat(study, "qnli", 5_000, {4: 70}, "intended")
    claim = claim_of(study, "K15")
    assert claim.verdict == parts(claim)["K5"] == "contradicted"
    assert claim.parts[4].note == (
        "1 hold under both, 0 fail under both, 2 turn over (QNLI, 5,000; SST-2, 5,000), 0 undecided"
    )
    assert "2 turn over (K5 QNLI, 5,000; K5 SST-2, 5,000)" in claim.note


def test_k15_compares_where_both_were_run():
    """The intended scale at 2,000 examples is judged against the authors' at 2,000, not at 5,000."""
    study = paper()
    for name in PLAYED:
        means = PROGRESSIVE[name, 5_000][:4] + [PROGRESSIVE[name, 5_000][2]] * 4 + PROGRESSIVE[name, 5_000][8:]
        by_depth = runs(means)
        study.full[name, 2_000] = by_depth.pop(12)
        study.curves[name, 2_000, "authors"] = by_depth
        study.curves[name, 2_000, "intended"] = runs_shifted(by_depth, 0)
        del study.curves[name, 5_000, "intended"]
    assert claim_of(study, "K5").verdict == "supported"
    claim = claim_of(study, "K15")
    k5 = claim.parts[4]
    assert k5.n_train == 2_000 and "0 turn over" in claim.note and "1 fail under both (QNLI, 5,000)" in k5.note


def test_k15_compares_the_same_seeds_and_depths():
    study = paper()
    # The authors' curve is out of order where the intended scale was not run, and at seeds that it has not.
    flat(study, "sst", 5_000, {9: 60, 10: 50, 11: 40})
    for depth, scores in study.curves["sst", 5_000, "authors"].items():
        scores |= {6: 95.0 - depth, 7: 96.0 - depth}
    study.full["sst", 5_000] |= {6: 10.0, 7: 10.0}
    intended = study.curves["sst", 5_000, "intended"]
    study.curves["sst", 5_000, "intended"] = {depth: intended[depth] for depth in intended if depth < 9}
    assert claim_of(study, "K1").parts[0].verdict != "supported"
    claim = claim_of(study, "K15")
    assert claim.parts[0].note.startswith("6 hold under both")
    assert claim.estimate.n == 5


def test_k15_has_the_seeds_of_what_was_compared():
    study = paper()
    for depth, scores in study.curves["qnli", 5_000, "intended"].items():
        study.curves["qnli", 5_000, "intended"][depth] = {seed: scores[seed] for seed in (1, 2, 3)}
    claim = claim_of(study, "K15")
    assert [part.estimate.n for part in claim.parts[:7]] == [3, 5, 5, 5, 3, 5, 3] and claim.estimate.n == 3


def test_k15_tells_by_how_much():
    study = paper()
    study.curves["sst", 500, "intended"] = runs_shifted(study.curves["sst", 500, "authors"], -4)
    name = "SST-2, 500, mean over depths (intended against authors)"
    part = next(part for part in claim_of(study, "K15").parts if part.part == name)
    assert part.verdict == "contradicted" and part.estimate.mean == pytest.approx(-4)
    assert part.estimate.low < -4 < part.estimate.high


def test_k15_prefers_a_scheme_that_differs_in_the_scale_alone():
    study = paper()
    loose = Surgery(kind="progressive", init="truncated_normal", biases="reset")
    study.surgeries = {"loose": loose, **study.surgeries}
    for (name, n_train, surgery), curve in list(study.curves.items()):
        if surgery == "intended":
            study.curves[name, n_train, "loose"] = curve
    claim = claim_of(study, "K15")
    assert claim.parts[-1].part.endswith("(intended against authors)") and "also differ" not in claim.note
    without = {where: curve for where, curve in study.curves.items() if where[2] != "intended"}
    claim = claim_of(replace(study, curves=without), "K15")
    assert claim.parts[-1].part.endswith("(loose against authors)")
    assert claim.note.endswith("; loose against authors also differ in biases reset for keep")


def test_preliminary_numbers_are_of_runs_that_did_not_reset_layer_norms():
    told = "the authors' preliminary runs did not reset LayerNorms"
    found = judged(paper())
    for name in ("K2", "K3", "K4", "K5", "K6", "K7", "K14"):
        for part in found[name].parts or (found[name],):
            assert (told in part.note) == (part.published is not None)
    assert told not in claim_of(paper().only("norms"), "K4").note
    numbers = read("tamkin2020")
    for (_, size), (plots, group) in PLOTS.items():
        rows = numbers[(numbers["table"] == plots) & (numbers["group"] == group) & numbers["verified"]]
        kept = rows[rows["setting"].str.fullmatch(r"k=\d+")]
        assert not kept.empty and kept["source"].str.contains("LayerNorm not reset").all(), size


def test_another_metric_than_the_papers_has_no_number_beside_it():
    study = paper()
    study.tasks["sst"] = study.tasks["sst"].model_copy(update={"metric": "macro_f1"})
    claim = claim_of(study, "K4")
    assert claim.published is None and "the paper's number is accuracy" in claim.note


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [([0, 1, 2], [10, 20, 30], 0.0), ([0, 1, 2], [2, 1, 0], 2 / 3), ([0, 0, 1], [0, 1, 1], 1 / 3)],
)
def test_shape_distance(one, other, distance):
    assert shape_distance(one, other) == pytest.approx(distance)
    assert math.isnan(shape_distance(one, [5.0] * 3)) and math.isnan(shape_distance([math.nan, 1, 2], other))


def test_published_numbers_are_those_of_the_preliminary_plots():
    numbers = read("tamkin2020")
    places = ["table", "model", "task", "setting", "group"]
    assert not numbers.duplicated(places).any() and numbers["value"].between(-10, 100).all()
    plots = numbers[numbers["table"].str.endswith("plots") & numbers["verified"]]
    assert len(plots) == 280 and plots["source"].str.contains("not the paper's final figure").all()
    (unverified,) = numbers[~numbers["verified"]].to_dict("records")
    assert (unverified["task"], unverified["setting"], unverified["value"]) == ("QNLI", "k=3", 78.3)
