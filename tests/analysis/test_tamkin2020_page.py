from dataclasses import replace

import pytest

from transfer_atlas.analysis import tamkin2020_page
from transfer_atlas.analysis.claims import claim, tamkin2020
from transfer_atlas.analysis.columns import table
from transfer_atlas.analysis.layer_evidence import LayerEvidence
from transfer_atlas.settings import Model

from .claims.layer_study import Study, paper, runs, task

LABELS = {"encoder": "Small encoder", "sst": "Film reviews", "authors": "as in their code"}
HEADINGS = ["Do the conclusions survive", "Claims", "Which layers gain most", "Do permutations act alike"]


def page(known: LayerEvidence, gains=(), correlations=()) -> str:
    made = {
        "claims": claim.table(tamkin2020.claims(known)),
        "layer_gains": table("layer_gains", list(gains)),
        "permutation_correlations": table("permutation_correlations", list(correlations)),
    }
    return tamkin2020_page.page(made, LABELS)


def section(text: str, heading: str) -> str:
    (found,) = [part for part in text.split("\n## ") if part.startswith(heading)]
    return found


def gain(layer: int, points: tuple[float, float, float], p_holm: float = 1.0, **others) -> dict:
    low, mean, high = (value / 100 for value in points)
    place = {"model": "encoder", "task": "sst", "recipe": "tune", "surgery": "authors", "size": "500", "n_train": 500}
    scored = {"metric": "accuracy", "gain": mean, "gain_sd": 0.01, "gain_n": 3, "gain_low": low, "gain_high": high}
    return {**place, "layer": layer, **scored, "p": 0.01, "p_holm": p_holm, **others}


def correlation(**others) -> dict:
    place = {"model": "encoder", "recipe": "tune", "surgery": "permute", "size": "5000"}
    spearman = {"spearman": 0.43, "spearman_low": -0.3, "spearman_high": 0.84, "spearman_p": 0.21}
    pearson = {"pearson": -0.9, "pearson_low": -0.98, "pearson_high": -0.6, "pearson_p": 0.0002}
    corrected = {"spearman_p_holm": 0.63, "pearson_p_holm": 0.0006}
    return {
        **place,
        "task_a": "qnli",
        "task_b": "sst",
        "permutations": 10,
        **spearman,
        **pearson,
        **corrected,
        **others,
    }


@pytest.fixture
def stands_in() -> Study:
    """The paper's study on other films."""
    study = paper()
    study.tasks["sst"] = task("sst", stand_in=True)
    return study


def test_sections_come_in_order_and_tables_are_sound(stands_in):
    text = page(stands_in.known(), [gain(1, (1, 2, 3))], [correlation()])
    places = [text.index(f"\n## {heading}") for heading in HEADINGS]
    assert places == sorted(places)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        assert len({line.count(" | ") for line in lines}) == 1


def test_it_is_sound_where_nothing_was_run():
    text = page(Study().known())
    assert "Not run: it takes progressive surgeries" in section(text, HEADINGS[0])
    claims = section(text, "Claims")
    assert claims.count("**not run**") == 15 and "†" not in claims.split("| claim |")[1]
    # The authors' numbers stand there nevertheless.
    assert "| ≥ 10 |  | +21.6 |  |" in claims
    for heading in HEADINGS[2:]:
        assert "\n\nNot run: " in section(text, heading) and "|" not in section(text, heading)


def test_it_is_sound_without_claims():
    empty = {name: table(name, []) for name in ("layer_gains", "permutation_correlations")}
    text = tamkin2020_page.page({"claims": claim.table([]), **empty}, {})
    assert "Not run: it takes progressive surgeries" in text


def test_the_answer_comes_first_with_what_was_compared_and_how_far_scores_move(stands_in):
    text = section(page(stands_in.known()), HEADINGS[0])
    assert (
        "**Yes, as far as these runs decide it**, for Small encoder† (K15 supported): of 18 parts of K1 to K7, "
        "18 hold under both, 0 fail under both, 0 turn over, 0 undecided. Scores" in text
    )
    assert "move by −0.2 points, over 5 seeds" in text
    named = "SST-2, 500, mean over depths (intended against authors)"
    assert f"| Small encoder | Film reviews | {named} | 500 | −0.2 points [−0.2, −0.2], n = 5 |" in text
    assert "Not run" not in text


def test_a_conclusion_that_turns_over_is_named():
    study = paper()
    study.curves["sst", 500, "intended"] |= runs({6: 57})
    del study.curves["qnli", 5_000, "intended"]
    text = section(page(study.known()), HEADINGS[0])
    assert "**No**, for Small encoder†" in text and "1 turn over (K4), 0 undecided, 3 not run." in text
    assert "Not run: Small encoder: QNLI, 5,000, mean over depths" in text


def test_conclusions_that_fail_under_both_scales_do_not_survive():
    study = paper()
    study.curves = {where: study.curves[where] for where in study.curves if where[:2] == ("sst", 500)}
    for surgery in ("authors", "intended"):
        study.curves["sst", 500, surgery] |= runs({2: 80, 4: 70, 6: 75})
    text = section(page(study.known()), HEADINGS[0])
    assert "**Undecided**, for Small encoder†" in text and "0 hold under both, 3 fail under both (" in text


def test_how_far_scores_move_is_shown_once(stands_in):
    text = page(stands_in.known())
    assert text.count("SST-2, 500, mean over depths") == 1
    # What becomes of each claim stands below K15.
    assert "|  | – K4 | Small encoder | supported†" in section(text, "Claims")


def test_a_model_run_with_one_scale_only_has_no_answer(stands_in):
    known = stands_in.known()
    second = Model(artifact="b", layers=12, paper_name="BERT-base", stand_in=False)
    evidence = replace(known.evidence, models={**known.evidence.models, "second": second})
    one_scale = {
        replace(place, model="second"): {name: curve for name, curve in of.items() if name != "intended"}
        for place, of in known.operated.items()
    }
    both = replace(known, evidence=evidence, operated={**known.operated, **one_scale})
    answers = section(page(both), HEADINGS[0])
    assert answers.count("**, for ") == 1 and "Not run: second." in answers
    assert page(both).count("| K1 |") == page(both).count("| K15 |") == 2


def test_claims_stand_beside_the_preliminary_numbers(stands_in):
    text = section(page(stands_in.known()), "Claims")
    assert "not the paper's\nfinal numbers" in text
    (k4,) = [line for line in text.splitlines() if line.startswith("| K4 |")]
    assert "| **supported**† | +22.3 points [+21.6, +23.0], n = 5 | ≥ 10 | 500 | +21.6 | +0.7† |" in k4
    # Shares are no points: they have three digits.
    assert (
        "|  | – QNLI, 5,000 | Small encoder | supported† | +0.829 of the gain" in text
        and "| +0.830 | −0.001† |" in text
    )
    assert "† stands in: Small encoder for BERT-base; Film reviews for SST-2." in text


def test_layers_are_listed_only_where_their_gain_is_clear():
    rows = [
        gain(1, (-1, 0.5, 2)),
        gain(2, (1, 2, 3)),
        gain(3, (3, 4, 5), p_holm=0.01),
        gain(4, (-3, -2, -1)),
        gain(1, (-1, 0, 1), n_train=2000, size="2000"),
        gain(1, (-1, 0, 1), n_train=2000, size="all"),
        gain(1, (float("nan"), 4, float("nan")), task="qnli", gain_n=1, p_holm=float("nan")),
    ]
    text = section(page(Study().known(), rows), HEADINGS[2])
    assert "| 500 | **3**: +4.0 [+3.0, +5.0], 2: +2.0 [+1.0, +3.0] | 4: −2.0 [−3.0, −1.0] | 4 | 3 |" in text
    assert "| Small encoder | Film reviews | tune | as in their code | 2,000 | none | none | 1 | 3 |" in text
    assert text.count("| 2,000 |") == 1
    assert "| qnli | tune | as in their code | 500 | no interval | no interval | 1 | 1 |" in text


def test_correlations_of_permutations():
    undefined = dict.fromkeys(
        ["spearman", "spearman_low", "spearman_high", "spearman_p", "spearman_p_holm"], float("nan")
    )
    short = {"spearman_low": float("nan"), "spearman_high": float("nan"), "permutations": 3, "size": "all"}
    rows = [correlation(), correlation(task_a="cola", **undefined), correlation(task_a="cola", **short)]
    text = section(page(Study().known(), correlations=rows), HEADINGS[3])
    tail = "−0.90 [−0.98, −0.60] | < 0.001 | < 0.001 |"
    assert f"| 5,000 | qnli and Film reviews | 10 | +0.43 [−0.30, +0.84] | 0.210 | 0.630 | {tail}" in text
    assert f"| 5,000 | cola and Film reviews | 10 | undefined |  |  | {tail}" in text
    assert "| all | cola and Film reviews | 3 | +0.43 | 0.210 | 0.630 |" in text
