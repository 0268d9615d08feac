"""A paper's numbers as a user gives them, and beside ours."""

from pathlib import Path

import pytest

from transfer_atlas.analysis.mohapatra2022 import beside_published
from transfer_atlas.analysis.published.user import PrintedGain, read
from transfer_atlas.errors import UserError

from .claims.transfer_study import LARGE, paper

HEADER = "model,task,setting,intermediate,metric,value\n"
ROW = "BERT,Reviews,domain,with,accuracy,81.5\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "paper.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_both_sides_of_a_place_come_together(tmp_path):
    rows = "BERT,Reviews,domain,without,accuracy, 82 \nXLNet,News,cross-lingual,without,macro_f1,60\n"
    # A spreadsheet's mark at the beginning, and a column of the user's own.
    path = written(tmp_path, "\ufeff" + HEADER.replace("\n", ",page\n") + (ROW + rows).replace("\n", ",7\n"))
    both, alone = read(path)
    assert both == PrintedGain("BERT", "Reviews", "domain", "accuracy", 81.5, 82.0)
    assert both.difference == pytest.approx(-0.5)
    assert (alone.model, alone.after, alone.without, alone.difference) == ("XLNet", None, 60.0, None)


def test_a_file_without_rows_has_no_numbers(tmp_path):
    assert read(written(tmp_path, HEADER)) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model,task\n", "column setting is missing; its columns must be model, task, setting"),
        (HEADER + ROW.replace("domain", "language"), ":2, column setting: should be domain or cross-lingual, not lang"),
        (HEADER + ROW + ROW.replace("with,", "yes,"), ":3, column intermediate: should be with or without, not yes"),
        (HEADER + ROW + ROW, ":3, column intermediate: BERT Reviews domain accuracy with is there twice"),
        (HEADER + ROW.replace("accuracy", "acc"), ":2, column metric: should be accuracy or macro_f1"),
        (HEADER + ROW.replace("81.5", "high"), ":2, column value: should be points from -100 to 100, not high"),
        (HEADER + ROW.replace("81.5", "nan"), ":2, column value: should be points"),
        (HEADER + ROW.replace("81.5", "815"), ":2, column value: should be points"),
        (HEADER + ROW.replace("BERT", ""), ":2, column model: empty"),
        (HEADER + "BERT,Reviews\n", ":2, column setting: empty"),
        (HEADER + ROW.replace("81.5", "0.815"), "give points, 93.2 rather than 0.932"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        read(path)
    message = str(error.value)
    assert told in message and str(path) in message and "\n" not in message


def test_a_file_that_cannot_be_read_is_named_with_its_setting(tmp_path):
    with pytest.raises(UserError, match=r"published\.mohapatra2022: .*absent\.csv: No such file"):
        read(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"published\.mohapatra2022: .*binary\.csv: no csv file in UTF-8"):
        read(tmp_path / "binary.csv")


def beside(*printed: PrintedGain):
    study = paper()
    study.tasks["text_other"] = study.tasks["text_other"].model_copy(update={"paper_name": "News"})
    return beside_published(study.known(), printed).to_dict("records")


def test_ours_stands_beside_by_family_or_by_name():
    by_family, by_name = beside(
        PrintedGain("bert", "Sentiment Analysis", "cross-lingual", "accuracy", 70.0, 73.0),
        PrintedGain("XLNet", "news", "domain", "accuracy", 70.0, None),
    )
    assert by_family["published_difference"] == -3.0
    assert by_family["mean"] == pytest.approx(-4.0) and by_family["low"] <= by_family["mean"] <= by_family["high"]
    assert (by_family["n"], by_family["cells"], by_family["models"], by_family["tasks"]) == (5, 1, "bert", "opinion_de")
    assert (by_family["with"], by_family["without"]) == pytest.approx((76.0, 80.0))
    assert by_name["mean"] == pytest.approx(1.5) and by_name["tasks"] == "text_other"
    assert by_name["published_difference"] != by_name["published_difference"]


@pytest.mark.parametrize(
    "place",
    [
        ("ELECTRA", "sentiment analysis", "domain", "accuracy"),
        ("BERT", "named entities", "domain", "accuracy"),
        ("BERT", "sentence similarity", "domain", "accuracy"),
        ("BERT-large", "sentiment analysis", "domain", "accuracy"),
    ],
)
def test_what_we_have_not_run_has_no_number_of_ours(place):
    (row,) = beside(PrintedGain(*place, 70.0, 73.0))
    assert row["n"] == row["cells"] == 0 and row["models"] == "" and row["published_without"] == 73.0


def test_our_scores_differ_by_our_gain_where_a_seed_has_no_partner():
    study = paper()
    study.scores["bert", "none", "text_other"][LARGE]["tune"][6] = 20.0
    printed = [PrintedGain("BERT", "text classification", "domain", "accuracy", 80.0, 81.0)]
    (row,) = beside_published(study.known(), printed).to_dict("records")
    assert row["n"] == 5 and row["without"] == pytest.approx(80.0)
    assert row["with"] - row["without"] == pytest.approx(row["mean"])


def test_without_numbers_the_table_is_empty():
    assert beside() == []
