import math
from dataclasses import replace

import pandas as pd

from transfer_atlas.analysis import mohapatra2022, mohapatra2022_page
from transfer_atlas.analysis.claims import claim
from transfer_atlas.analysis.claims import mohapatra2022 as claims
from transfer_atlas.analysis.columns import table
from transfer_atlas.analysis.published.user import PrintedGain

from .claims.transfer_study import Study, paper

LABELS = {"bert": "Small BERT", "text_other": "Books", "text_first": "Films"}
HEADINGS = ["Claims", "With and without an intermediate task", "The paper's numbers"]
DECONTAMINATION = ["intermediate", "task", "split", "other_task", "shared", "left_out", "rows"]


def estimated(prefix: str, mean: float, n: float = 5) -> dict:
    half = 0.01 if n > 1 else math.nan
    values = {"mean": mean, "sd": 0.01, "n": n, "low": mean - half, "high": mean + half}
    return {f"{prefix}{name}": value for name, value in values.items()}


def compared(name: str, mean: float, p_holm: float, n: float = 5) -> dict:
    told = {key.removesuffix("_mean"): value for key, value in estimated(f"{name}_", mean, n).items()}
    p = f"{name}_p" if name != "difference" else "p"
    return {**told, p: p_holm / 10, f"{p}_holm": p_holm}


def gain(**others) -> dict:
    place = {
        "model": "bert",
        "intermediate": "text_first",
        "task": "text_other",
        "recipe": "tune",
        "method": "finetune",
    }
    kind = {"family": "text classification", "setting": "domain", "head": "drop", "metric": "accuracy"}
    return {
        **place,
        **kind,
        **{"size": "1600", "n_train": 1600, "steps": 100.0, "steps_before": 250.0, "budget_steps": 350.0},
        **estimated("with_", 0.815),
        **estimated("without_", 0.8),
        **compared("difference", 0.015, 0.03),
        **estimated("budget_", 0.82),
        **compared("beyond_budget", -0.005, 0.4),
        **others,
    }


def shared(task: str, count: int, split: str = "train") -> dict:
    row = ("text_first", "text_base", split, task, count, 12, 2000)
    return dict(zip(DECONTAMINATION, row, strict=True))


def page(study: Study, gains=(), left_out=(), printed=()) -> str:
    known = study.known()
    made = {
        "claims": claim.table(claims.claims(known, printed)),
        "intermediate": table("intermediate", list(gains)),
        "decontamination": pd.DataFrame(list(left_out), columns=DECONTAMINATION),
    }
    return mohapatra2022_page.page(made, LABELS, mohapatra2022.beside_published(known, printed))


def section(text: str, heading: str) -> str:
    (found,) = [part for part in text.split("\n## ") if part.startswith(heading)]
    return found


def test_what_it_is_comes_first_and_sections_in_order():
    text = page(paper(), [gain()], [shared("text_other", 3)], [PrintedGain("BERT", "x", "domain", "accuracy", 1, 2)])
    assert text.index("conceptual replication") < text.index("\n## Claims")
    places = [text.index(f"\n## {heading}") for heading in HEADINGS]
    assert places == sorted(places)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({line.count(" | ") for line in lines}) == 1


def test_it_is_sound_where_nothing_was_run():
    text = page(Study())
    assert section(text, "Claims").count("**not run**") == 6 and "†" not in section(text, "Claims")
    assert "Not run: it takes an intermediate task" in text
    assert "None are known." in text


def test_every_verdict_is_on_data_that_stand_in():
    study = paper()
    study.models = {name: entry.model_copy(update={"stand_in": False}) for name, entry in study.models.items()}
    text = section(page(study), "Claims")
    assert text.count("**supported**†") == 6
    assert "† stands in: our data for the paper's (unknown)." in text
    assert "| M2 | Averaged over cells" in text and "|  | – RoBERTa alone | roberta |" in text
    other = replace(claim.Claim("X1", "another paper", "so it is", "not run", "nowhere"))
    assert "so it is" not in mohapatra2022_page.page(
        {
            "claims": claim.table([other]),
            "intermediate": table("intermediate", []),
            "decontamination": pd.DataFrame(columns=DECONTAMINATION),
        },
        {},
        mohapatra2022.beside_published(study.known(), []),
    )


def test_pairs_stand_with_scores_controls_updates_and_what_was_left_out():
    rows = [shared("text_other", 3), shared("text_de", 9), shared("text_other", 1, "validation")]
    text = section(page(paper(), [gain()], rows), HEADINGS[1])
    assert "### Text classification, domain" in text
    assert (
        "| Small BERT | Films | Books | tune | 1,600 | accuracy | 80.0 ± 1.0 | 81.5 ± 1.0 | **+1.5 ± 1.0** | "
        "−0.5 ± 1.0 | 5 | 250 + 100 | 12 of 2,000 (3) |" in text
    )


def test_a_pair_without_control_or_second_seed():
    nothing = {**estimated("budget_", math.nan, math.nan), **compared("beyond_budget", math.nan, math.nan, math.nan)}
    row = gain(**{**nothing, "budget_steps": math.nan}, **compared("difference", 0.015, math.nan, 1))
    assert "| +1.5 | not run | 1 | 250 + 100 |  |" in page(paper(), [row])


def test_each_pair_is_there_once_at_its_largest_size():
    rows = [
        gain(),
        gain(size="all"),
        gain(size="100", n_train=100),
        gain(head="keep", intermediate="text_kept"),
        gain(recipe="freeze", method="extract"),
    ]
    text = section(page(paper(), rows), HEADINGS[1])
    assert text.count("| Small BERT |") == 2 and "| text_kept (head kept) |" in text


def test_the_papers_families_and_settings_come_first():
    rows = [
        gain(family="a family of its own", model="a"),
        gain(family="sentence similarity", setting="same", model="b"),
        gain(family="sentence similarity", setting="cross-lingual", model="c"),
        gain(model="d"),
    ]
    headings = [line for line in page(paper(), rows).splitlines() if line.startswith("### ")]
    assert headings == [
        "### Text classification, domain",
        "### Sentence similarity, cross-lingual",
        "### Sentence similarity, same",
        "### A family of its own, domain",
    ]


def test_numbers_of_the_user_stand_beside_ours():
    printed = [
        PrintedGain("BERT", "sentiment analysis", "cross-lingual", "accuracy", 70.0, 73.0),
        PrintedGain("BERT", "parsing", "domain", "accuracy", None, 73.0),
    ]
    text = page(paper(), printed=printed)
    found = section(text, HEADINGS[2])
    assert "| 73.0 | 70.0 | −3.0 | 80.0 | 76.0 | −4.0 ± " in found and "† | 1 | 5 | Small BERT | opinion_de |" in found
    assert "| BERT | parsing | domain | accuracy | 73.0 |  |  |  |  | not run |  |  |  |  |" in found
    assert "| −3.0 (not verified) |" in section(text, "Claims")
