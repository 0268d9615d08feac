"""Tasks whose settings do not go together."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from transfer_atlas.configuration.files import ABSENT, Key
from transfer_atlas.configuration.wording import Problem, nearest, one_of, unknown
from transfer_atlas.settings import METRICS_BY_TYPE, PAIR_TYPES, WORD_TYPES, Task
from transfer_atlas.tasks.sources import UD_COLUMNS, format_of
from transfer_atlas.tasks.tags import is_tag


def in_task(key: Key, task: Task) -> Iterator[Problem]:
    """Everything that is wrong with one task; `key` is its place."""
    if "train" not in task.files:
        yield Problem((*key, "files", "train"), ABSENT, "name the training file; missing splits are carved from it")
    for split, files in task.files.items():
        if not files:
            yield Problem((*key, "files", split), files, "name at least one file")
    if task.metric is not None and task.metric not in task.metrics:
        message = one_of(task.metric, task.metrics, f"for {task.type} ")
        if task.metric in METRICS_BY_TYPE[task.type]:
            message = "spans are scored where labels mark them; set tags to bio or bioes"
        yield Problem((*key, "metric"), task.metric, message)
    try:
        codecs.lookup(task.encoding)
    except LookupError:
        common = ("utf-8", "utf-16", "latin-1", "cp1252")
        message = f"no such encoding; common ones are {', '.join(common)}{nearest(task.encoding, common)}"
        yield Problem((*key, "encoding"), task.encoding, message)
    yield from _in_texts(key, task)
    yield from _in_words(key, task)
    yield from _in_labels(key, task)
    yield from _in_columns(key, task)


def _in_texts(key: Key, task: Task) -> Iterator[Problem]:
    second = task.fields.text_pair
    if task.type in PAIR_TYPES:
        if second is None:
            yield Problem((*key, "fields", "text_pair"), ABSENT, f"{task.type} needs the column of the second text")
        if task.format == "folders":
            yield Problem((*key, "format"), task.format, f"a file in a folder is one text, but {task.type} needs two")
    elif second is not None:
        kinds = " and ".join(PAIR_TYPES)
        yield Problem((*key, "fields", "text_pair"), second, f"{task.type} has one text; {kinds} have two")


def _in_words(key: Key, task: Task) -> Iterator[Problem]:
    """Words, their tags and spans, and the formats that have them."""
    if task.tags != "words" and task.type != "token_labelling":
        yield Problem((*key, "tags"), task.tags, f"{task.type} labels no words; leave it out")
    if task.type == "span_pair_classification":
        yield from _in_spans(key, task)
    else:
        for field in ("span", "span_pair"):
            column = getattr(task.fields, field)
            if column is not None:
                message = f"{task.type} has no marked spans; leave it out"
                yield Problem((*key, "fields", field), column, message)
    if task.format in ("conll", "conllu") and task.type not in WORD_TYPES:
        message = f"has labels of words, but {task.type} needs whole texts; {' and '.join(WORD_TYPES)} read words"
        yield Problem((*key, "format"), task.format, message)
    if task.format == "folders" and task.type in WORD_TYPES:
        yield Problem(
            (*key, "format"), task.format, f"a folder is the class of a whole text, not what {task.type} needs"
        )


def _in_spans(key: Key, task: Task) -> Iterator[Problem]:
    if "conll" in _formats(task):
        message = "has labels of words, but no spans; use conllu, or a table with columns of spans"
        yield Problem((*key, "format"), task.format or ABSENT, message)
    elif "conllu" in _formats(task):
        if task.fields.span is not None:
            message = "the arcs of CoNLL-U are the spans; leave it out"
            yield Problem((*key, "fields", "span"), task.fields.span, message)
    elif task.fields.span is None:
        message = "name the column of the marked words; only arcs of CoNLL-U need none"
        yield Problem((*key, "fields", "span"), ABSENT, message)
    if task.fields.span is None and task.fields.span_pair is not None:
        yield Problem((*key, "fields", "span_pair"), task.fields.span_pair, "this is the second span; name span too")


def _formats(task: Task) -> set[str | None]:
    """The formats of a task's files as far as it or the endings of their names say; None for others."""
    if task.format is not None:
        return {task.format}
    files = [names if isinstance(names, list) else [names] for names in task.files.values()]
    return {format_of(name) for names in files for name in names}


def _in_labels(key: Key, task: Task) -> Iterator[Problem]:
    if task.type == "pair_regression":
        if task.labels is not None:
            yield Problem((*key, "labels"), task.labels, "regression has scores, not labels; leave it out")
        if task.score_range is None:
            message = "regression needs [smallest, largest] score, for example [0, 5]"
            yield Problem((*key, "score_range"), ABSENT, message)
        elif task.score_range[0] >= task.score_range[1]:
            yield Problem((*key, "score_range"), task.score_range, "should be [smallest, largest], in this order")
        return
    if task.score_range is not None:
        yield Problem((*key, "score_range"), task.score_range, f"{task.type} has labels, not scores; leave it out")
    names = list(task.labels.values()) if isinstance(task.labels, dict) else task.labels
    if names is not None and len(set(names)) < 2:
        yield Problem((*key, "labels"), task.labels, "classification needs at least two classes")
    elif isinstance(task.labels, list) and len(set(task.labels)) < len(task.labels):
        yield Problem((*key, "labels"), task.labels, "a class is listed twice; list each once")
    elif names is not None and task.tags != "words":
        for wrong in (label for label in names if not is_tag(label)):
            message = f"{wrong} is no tag; tags are O, or B-, I-, E- or S- and a type"
            yield Problem((*key, "labels"), task.labels, message)


def _in_columns(key: Key, task: Task) -> Iterator[Problem]:
    if task.format == "folders":
        return
    if (sentences := _formats(task)) <= {"conll", "conllu"}:
        yield from _in_columns_of_sentences(key, task, "conll" in sentences)
        return
    if task.header and task.columns is not None:
        message = "only a file without header needs them; set header: false, or leave them out"
        yield Problem((*key, "columns"), task.columns, message)
    if not task.header and task.columns is None:
        yield Problem((*key, "columns"), ABSENT, "a file without header needs the names of its columns")
    if not task.header and task.columns is not None:
        yield from _unknown_columns(key, task, task.columns)


def _in_columns_of_sentences(key: Key, task: Task, unnamed: bool) -> Iterator[Problem]:
    """The columns of conll, which have no names of their own, and of conllu, which have."""
    if unnamed:
        if task.columns is None:
            yield Problem((*key, "columns"), ABSENT, "conll needs the names of its columns, in order")
        else:
            yield from _unknown_columns(key, task, task.columns)
        return
    columns = UD_COLUMNS if task.columns is None else tuple(task.columns)
    if columns[: len(UD_COLUMNS)] != UD_COLUMNS:
        message = f"those of conllu begin with {', '.join(UD_COLUMNS)}; leave it out, unless the file has more"
        yield Problem((*key, "columns"), task.columns, message)
    else:
        yield from _unknown_columns(key, task, [*columns, "text", "label"])


def _unknown_columns(key: Key, task: Task, columns: Iterable[str]) -> Iterator[Problem]:
    named = {(*key, "fields", field): name for field, name in task.fields if name is not None}
    named |= {(*key, "where", name): name for name in task.where}
    for place, name in named.items():
        yield from unknown(place, name, columns, "column")
