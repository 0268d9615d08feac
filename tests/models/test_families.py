"""What each family of encoders was pretrained with: special tokens, segments, positions, the classification token.

The tokenizers are of the families' own classes, small; the encoders random, against transformers' own forward on
batches that the family's tokenizer pads as it likes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    AlbertTokenizer,
    AutoModel,
    AutoTokenizer,
    BertTokenizer,
    CamembertTokenizer,
    DistilBertTokenizer,
    MPNetTokenizer,
    RobertaTokenizer,
    XLMRobertaTokenizer,
    XLNetTokenizer,
)

from transfer_atlas.errors import UserError
from transfer_atlas.layout import Layout, layout_of
from transfer_atlas.models.encoder import SUPPORTED, Pretrained, depths, is_packable, load_pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.heads.pooled import PooledHead
from transfer_atlas.models.network import Network
from transfer_atlas.models.tokenizer import SEGMENTED, classification_place
from transfer_atlas.models.word_pieces import tokenise_words
from transfer_atlas.representations.extraction import encoded, pooled_states
from transfer_atlas.settings import Engine, Model, Recipe, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.unit_examples import UnitExamples, units_of

CPU = torch.device("cpu")
CLOSE = {"rtol": 1e-4, "atol": 5e-5}
LETTERS = list("abcdefgé")
ENGINES = {"fused": Engine(), "library": Engine(layers="library"), "padded": Engine(batching="padded")}

Make = Callable[..., Path]


def word_pieces(kind: Any, *special: str, **settings: Any) -> Any:
    """Of single letters and their continuations; capitals and Chinese characters too, and no joined `京都`."""
    pieces = [*LETTERS, "E", *(f"##{letter}" for letter in LETTERS), "京", "都", "##都"]
    return kind(vocab={piece: index for index, piece in enumerate([*special, *pieces])}, **settings)


def unigrams(kind: Any, *special: str, **settings: Any) -> Any:
    """Sentencepiece's: every word begins with its space."""
    pieces = [("▁", -3.0), *((f"▁{letter}", -1.0) for letter in LETTERS), *((letter, -2.0) for letter in LETTERS)]
    return kind(vocab=[*((token, 0.0) for token in special), *pieces], **settings)


def bytes_of_roberta() -> RobertaTokenizer:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *LETTERS[:7], *(f"Ġ{letter}" for letter in LETTERS[:7])]
    merges = [("Ġ", letter) for letter in LETTERS[:7]]
    return RobertaTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges)


BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
XLNET = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>")
ALBERT = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Family:
    """The conventions of a family.

    Attributes:
        architecture: Its `model_type`.
        tokenizer: Makes a small one.
        text, pair: The tokens of the text `a`, and of the pair `a`, `b`.
        segments: Of each token of the pair, as the encoder reads them; None where it reads none.
        first_position: What the first token's is; None where positions are relative.
        classification: The place of the classification token.
        pads: Where its tokenizer fills a batch up.
    """

    architecture: str
    tokenizer: Callable[[], Any]
    text: str
    pair: str
    segments: str | None
    first_position: int | None
    classification: Literal["first", "last"]
    pads: Literal["right", "left"]


TABLE: dict[str, tuple[str, Callable[[], Any], str, str, str | None, int | None, Any, Any]] = {
    "bert": (
        *("bert", lambda: word_pieces(BertTokenizer, *BERT)),
        *("[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", "00011", 0, "first", "right"),
    ),
    "mbert": (
        *("bert", lambda: word_pieces(BertTokenizer, *BERT, do_lower_case=False)),
        *("[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", "00011", 0, "first", "right"),
    ),
    "electra": (
        *("electra", lambda: word_pieces(BertTokenizer, *BERT)),
        *("[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", "00011", 0, "first", "right"),
    ),
    "albert": (
        *("albert", lambda: unigrams(AlbertTokenizer, *ALBERT)),
        *("[CLS] ▁a [SEP]", "[CLS] ▁a [SEP] ▁b [SEP]", "00011", 0, "first", "right"),
    ),
    "distilbert": (
        *("distilbert", lambda: word_pieces(DistilBertTokenizer, *BERT)),
        *("[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]", None, 0, "first", "right"),
    ),
    "roberta": (
        *("roberta", bytes_of_roberta),
        *("<s> a </s>", "<s> a </s> </s> b </s>", None, 2, "first", "right"),
    ),
    "xlm-roberta": (
        *("xlm-roberta", lambda: unigrams(XLMRobertaTokenizer, *ROBERTA, unk_id=3)),
        *("<s> ▁a </s>", "<s> ▁a </s> </s> ▁b </s>", None, 2, "first", "right"),
    ),
    "camembert": (
        *("camembert", lambda: unigrams(CamembertTokenizer, *ROBERTA)),
        *("<s> ▁a </s>", "<s> ▁a </s> </s> ▁b </s>", None, 2, "first", "right"),
    ),
    "mpnet": (
        *("mpnet", lambda: word_pieces(MPNetTokenizer, *ROBERTA, "[UNK]")),
        *("<s> a </s>", "<s> a </s> </s> b </s>", None, 2, "first", "right"),
    ),
    "xlnet": (
        *("xlnet", lambda: unigrams(XLNetTokenizer, *XLNET)),
        *("▁a <sep> <cls>", "▁a <sep> ▁b <sep> <cls>", "00112", None, "last", "left"),
    ),
}
FAMILIES = {name: Family(*conventions) for name, conventions in TABLE.items()}

every_family = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture(scope="module")
def folder_of(make_encoder: Make, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A random encoder of the family with a tokenizer of its class."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            family = FAMILIES[name]
            made[name] = tmp_path_factory.mktemp(name) / "model"
            shutil.copytree(make_encoder(family.architecture), made[name])
            for file in made[name].glob("tokenizer*"):
                file.unlink()
            family.tokenizer().save_pretrained(made[name])
        return made[name]

    return of


@pytest.fixture
def copy_of(folder_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A family's folder that a test may change."""
    return lambda name: Path(shutil.copytree(folder_of(name), tmp_path / "model"))


def drawn(n: int, seed: int, longest: int = 9) -> list[str]:
    """Texts of words of one to three letters, which every tokenizer knows."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(LETTERS[:7], size=size)) for size in random.integers(1, 4, size=n * longest)]
    counts = random.integers(1, longest + 1, size=n)
    return [" ".join(words[row * longest : row * longest + count]) for row, count in enumerate(counts)]


def units(model: Pretrained, texts: list[str], pairs: list[str] | None, layout: Layout, most: int = 64) -> UnitExamples:
    labels = np.zeros(len(texts), dtype=np.int64)
    return units_of(model, Examples([str(row) for row in range(len(texts))], texts, pairs, labels), layout, most)


def tokens_of(model: Pretrained, examples: UnitExamples) -> list[str]:
    """The tokens of the only example."""
    tokens: list[str] = model.tokenizer.convert_ids_to_tokens(examples.tokens.input_ids.tolist())
    return tokens


class Stock:
    """transformers' own model and tokenizer, with padding."""

    def __init__(self, folder: Path, side: str | None = None):
        self.kind = json.loads((folder / "config.json").read_text())["model_type"]
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = side or self.tokenizer.padding_side

    @torch.no_grad()
    def layers(self, texts: list[str], pairs: list[str] | None, most: int = 64) -> tuple[Tensor, Tensor, Tensor]:
        """States [layers + 1, N, longest, H], which tokens are real, and which are classification tokens."""
        inputs = self.tokenizer(
            texts,
            pairs,
            padding=True,
            truncation=True,
            max_length=most,
            return_tensors="pt",
            return_token_type_ids=self.kind in SEGMENTED,
        )
        states = torch.stack(self.model(**inputs, output_hidden_states=True).hidden_states)
        return states, inputs["attention_mask"].bool(), inputs["input_ids"] == self.tokenizer.cls_token_id


# --- conventions -------------------------------------------------------------------------------------------


def test_every_supported_architecture_is_in_the_table() -> None:
    assert {family.architecture for family in FAMILIES.values()} == set(SUPPORTED)
    with_segments = {family.architecture for family in FAMILIES.values() if family.segments is not None}
    assert with_segments == set(SEGMENTED)


@every_family
def test_conventions(name: str, folder_of: Callable[[str], Path]) -> None:
    family, model = FAMILIES[name], load_pretrained(folder_of(name), 3)
    layout = Layout("tokens", False, None, None)
    text, pair = units(model, ["a"], None, layout), units(model, ["a"], ["b"], layout)
    assert " ".join(tokens_of(model, text)) == family.text
    assert " ".join(tokens_of(model, pair)) == family.pair
    segments = "".join(map(str, pair.tokens.token_type_ids.tolist()))
    assert segments == (family.segments or "0" * len(segments))
    first_position = 0 if family.first_position is None else family.first_position
    assert int(pair.batch(torch.tensor([0]), CPU).inputs.position_ids[0, 0]) == first_position
    assert (model.longest_input is None) == (family.first_position is None)
    assert classification_place(model.tokenizer) == {"first": 0, "last": -1}[family.classification]
    assert model.tokenizer.padding_side == family.pads


@every_family
def test_words_have_the_special_tokens_and_segments_of_a_text(name: str, folder_of: Callable[[str], Path]) -> None:
    family, model = FAMILIES[name], load_pretrained(folder_of(name))
    pieces = tokenise_words(model.tokenizer, ["a"])
    assert " ".join(model.tokenizer.convert_ids_to_tokens(pieces.input_ids)) == family.text
    assert pieces.token_type_ids == ([0, 0, 2] if name == "xlnet" else [0, 0, 0])
    assert pieces.words.tolist() == ([0, -1, -1] if family.classification == "last" else [-1, 0, -1])


@every_family
def test_what_is_cut_is_text(name: str, folder_of: Callable[[str], Path]) -> None:
    """The longer text of a pair first, and never a special token."""
    family, model = FAMILIES[name], load_pretrained(folder_of(name))
    layout = Layout("tokens", False, None, None)
    cut = units(model, ["a " * 30], ["b " * 3], layout, 12)
    tokens = tokens_of(model, cut)
    special = set(model.tokenizer.all_special_tokens)
    marks = [token for token in tokens if token in special]
    assert len(tokens) == 12 and cut.truncated == 1
    assert marks == [token for token in family.pair.split() if token in special]
    assert sum("b" in token for token in tokens) == 3
    at = 0 if family.classification == "first" else -1
    assert tokens[at] == model.tokenizer.cls_token


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("bert", "e ##é ##e 京 都"),
        ("mbert", "E ##é ##e 京 都"),
        ("mpnet", "e ##é ##e 京 都"),
    ],
)
def test_case_accents_and_chinese(name: str, tokens: str, folder_of: Callable[[str], Path]) -> None:
    model = load_pretrained(folder_of(name))
    accent = tokens.replace("é", "e") if name != "mbert" else tokens
    assert " ".join(model.tokenizer.tokenize("Eée京都")) == accent


# --- states ------------------------------------------------------------------------------------------------


@every_family
@pytest.mark.parametrize("pairs", [False, True], ids=["texts", "pairs"])
def test_all_layers_equal_the_stock_model(name: str, pairs: bool, folder_of: Callable[[str], Path]) -> None:
    """With every engine, on whichever side the stock batch is padded, with texts that are cut among them."""
    model = load_pretrained(folder_of(name), 3)
    texts, seconds = drawn(21, seed=1), drawn(21, seed=2) if pairs else None
    examples = units(model, texts, seconds, Layout("tokens", False, None, None), 24)
    assert examples.truncated > 0 or not pairs
    batch = examples.batch(torch.arange(21), CPU).inputs
    encoder = model.encoder.eval()
    found = {}
    for engine in ENGINES if is_packable(encoder) else ["padded"]:
        with torch.no_grad():
            found[engine] = torch.stack(encoding_of(encoder, ENGINES[engine])(batch))
    for side in ("left", "right") if name == "xlnet" else (None,):
        states, inside, _ = Stock(folder_of(name), side).layers(texts, seconds, 24)
        expected = states[:, inside]
        for engine, ours in found.items():
            torch.testing.assert_close(ours, expected, **CLOSE, msg=lambda text, engine=engine: f"{engine}: {text}")
    assert len(expected) == 4


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.segments is not None])
def test_segments_are_read(name: str, folder_of: Callable[[str], Path]) -> None:
    model = load_pretrained(folder_of(name))
    batch = units(model, ["a b"], ["c"], Layout("tokens", False, None, None)).batch(torch.tensor([0]), CPU).inputs
    encode = encoding_of(model.encoder.eval(), Engine())
    with torch.no_grad():
        found = encode(batch)[-1]
        batch.token_type_ids.zero_()
        assert not torch.allclose(encode(batch)[-1], found, atol=1e-2)


# --- the classification token ------------------------------------------------------------------------------


def task_of(kind: str) -> Task:
    return Task.model_validate({"type": kind, "files": {"train": "train.csv"}})


def read(model: Pretrained, examples: UnitExamples, layout: Layout) -> Tensor:
    """Pooled states of all layers, [layers + 1, N, H], as they are stored."""
    found = torch.empty(4, len(examples), model.hidden_size * (4 if layout.separate else 1))
    encode = encoding_of(model.encoder.eval(), Engine())
    assert layout.pooled is not None
    for rows, sequences in encoded(encode, examples, CPU, "float32", 1e9):
        found[:, rows] = pooled_states(sequences, layout.pooled, None, layout.sequences)
    return found


def stock_cls(folder: Path, texts: list[str], pairs: list[str] | None) -> Tensor:
    """States of the token with the classification token's id, [layers + 1, N, H]."""
    states, inside, is_cls = Stock(folder).layers(texts, pairs)
    assert (is_cls & inside).sum(1).tolist() == [1] * len(texts)
    return states[:, is_cls & inside]


@every_family
def test_extracted_from_every_layer(name: str, folder_of: Callable[[str], Path]) -> None:
    model, texts, pairs = load_pretrained(folder_of(name)), drawn(9, seed=3), drawn(9, seed=4)
    entry = Model(artifact="encoder", layers=3)
    recipe = {"method": "extract", "pooling": "cls", "layer": "each", "learning_rate": 0.1}
    joint = layout_of(task_of("pair_classification"), entry, Recipe.model_validate(recipe))
    apart = layout_of(task_of("pair_classification"), entry, Recipe.model_validate({**recipe, "pairs": "separate"}))
    assert (joint.name, apart.name) == ("cls", "cls.separate")

    found = read(model, units(model, texts, pairs, Layout.parse(joint.name)), joint)
    torch.testing.assert_close(found, stock_cls(folder_of(name), texts, pairs), **CLOSE)

    found = read(model, units(model, texts, pairs, Layout.parse(apart.name)), apart)
    first, second = stock_cls(folder_of(name), texts, None), stock_cls(folder_of(name), pairs, None)
    expected = torch.cat([first, second, (first - second).abs(), first * second], dim=2)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["bert", "roberta", "mpnet", "xlnet"])
def test_fine_tuned(name: str, engine: str, folder_of: Callable[[str], Path]) -> None:
    """Scores, and the gradients that reach the embeddings, of a linear head on it."""
    model, texts, pairs = load_pretrained(folder_of(name)), drawn(7, seed=5), drawn(7, seed=6)
    recipe = Recipe(method="finetune", pooling="cls", learning_rate=0.1)
    layout = layout_of(task_of("pair_classification"), Model(artifact="encoder", layers=3), recipe)
    assert layout == Layout("classification", False, None, None)
    head = PooledHead(
        model.hidden_size,
        3,
        layers=1,
        hidden=None,
        dropout=0.0,
        pooling="cls",
        sequences=layout.sequences,
        spans=0,
        generator=torch.Generator().manual_seed(1),
    )
    encoder = model.encoder
    encode = encoding_of(encoder, ENGINES[engine])
    network = Network(encoder, head, False, lambda batch: encode(batch), depths(encoder)).eval()

    scores = network(units(model, texts, pairs, layout).batch(torch.arange(7), CPU))
    scores.square().sum().backward()

    stock = Stock(folder_of(name))
    inputs = stock.tokenizer(
        texts, pairs, padding=True, return_tensors="pt", return_token_type_ids=stock.kind in SEGMENTED
    )
    states = stock.model(**inputs).last_hidden_state[inputs["input_ids"] == stock.tokenizer.cls_token_id]
    expected = states @ head.output.weight.detach().T + head.output.bias.detach()
    torch.testing.assert_close(scores, expected, **CLOSE)
    expected.square().sum().backward()
    gradients = [m.get_input_embeddings().weight.grad for m in (encoder, stock.model)]
    assert float(gradients[1].abs().max()) > 1e-3
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4 * float(gradients[1].abs().max()))


def test_a_mix_of_layers_reads_it_alone(folder_of: Callable[[str], Path]) -> None:
    """Of each text one unit is stored, whatever its length."""
    recipe = Recipe(method="extract", head="scalar_mix_linear", pooling="cls", learning_rate=0.1)
    layout = layout_of(task_of("sequence_classification"), Model(artifact="encoder", layers=3), recipe)
    assert layout.name == "classification" and Layout.parse(layout.name) == layout
    model, texts = load_pretrained(folder_of("xlnet")), drawn(9, seed=3)
    examples = units(model, texts, None, layout)
    ((rows, sequences),) = encoded(encoding_of(model.encoder.eval(), Engine()), examples, CPU, "float32", 1e9)
    assert sequences.lengths.tolist() == [1] * 9
    torch.testing.assert_close(
        sequences.states, stock_cls(folder_of("xlnet"), [texts[row] for row in rows], None), **CLOSE
    )


def test_a_text_may_spell_it(folder_of: Callable[[str], Path]) -> None:
    for name, spelt, token in (("bert", "[CLS] a", 0), ("xlnet", "a <cls> b", -1)):
        model = load_pretrained(folder_of(name))
        examples = units(model, [spelt, "a"], None, Layout("classification", False, None, None))
        assert examples.table is not None
        assert examples.table.tokens[:, 0].tolist() == [(int(size) + token) % int(size) for size in examples.sizes()]


# --- tokenizers that are saved carelessly ------------------------------------------------------------------


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def tokens(model: Pretrained, *texts: str) -> list[str]:
    found: list[str] = model.tokenizer.convert_ids_to_tokens(model.tokenizer(*texts)["input_ids"])
    return found


def test_a_cased_tokenizer_without_its_configuration_stays_cased(copy_of: Callable[[str], Path]) -> None:
    """transformers' class would fall back on lowercasing."""
    folder = copy_of("mbert")
    (folder / "tokenizer_config.json").unlink()
    assert "##é" not in AutoTokenizer.from_pretrained(folder).tokenize("Eée")
    assert load_pretrained(folder).tokenizer.tokenize("Eée") == ["E", "##é", "##e"]


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet"])
def test_segments_without_the_familys_class(name: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(name)
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    found = load_pretrained(folder).tokenizer("a", "b")["token_type_ids"]
    assert "".join(map(str, found)) == FAMILIES[name].segments


def test_no_segments_where_the_family_has_none(copy_of: Callable[[str], Path]) -> None:
    """A tokenizer may number them all the same; the encoder has no embedding of a second one."""
    folder = copy_of("roberta")
    written = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bert = BertTokenizer(vocab={"<s>": 0, "</s>": 2}, cls_token="<s>", sep_token="</s>", unk_token="</s>")
    written.post_processor = bert.backend_tokenizer.post_processor
    written.save(str(folder / "tokenizer.json"))
    model = load_pretrained(folder)
    assert " ".join(tokens(model, "a", "b")) == "<s> a </s> b </s>"
    examples = units(model, ["a"], ["b"], Layout("tokens", False, None, None))
    assert examples.tokens.token_type_ids.tolist() == [0] * 5


def test_limits_and_padding_that_a_file_holds_are_not_applied(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("bert")
    written = Tokenizer.from_file(str(folder / "tokenizer.json"))
    written.enable_truncation(4)
    written.enable_padding(length=40)
    written.save(str(folder / "tokenizer.json"))
    model = load_pretrained(folder)
    for _ in range(2):
        assert tokenise_words(model.tokenizer, ["a"] * 6).words.tolist() == [-1, 0, 1, 2, 3, 4, 5, -1]
        assert units(model, ["a " * 20], None, Layout("tokens", False, None, None), 9).sizes().tolist() == [9]


def test_without_post_processor_the_familys_class_supplies_it(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("bert")
    change(folder / "tokenizer.json", post_processor=None)
    assert " ".join(tokens(load_pretrained(folder), "a", "b")) == FAMILIES["bert"].pair


def refusal(act: Callable[[], Any], folder: Path) -> str:
    with pytest.raises(UserError) as error:
        act()
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    return str(error.value)


def template(*, pair: Iterable[dict[str, Any]]) -> dict[str, Any]:
    mark: dict[str, Any] = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    special = {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}
    return {
        "type": "TemplateProcessing",
        "single": [first, mark],
        "pair": [first, *pair, mark],
        "special_tokens": special,
    }


def test_texts_without_special_tokens_are_refused(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("electra")
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    change(folder / "tokenizer.json", post_processor=None)
    assert "no post_processor that puts a text between special tokens" in refusal(
        lambda: load_pretrained(folder), folder
    )
    second = {"Sequence": {"id": "B", "type_id": 1}}
    change(folder / "tokenizer.json", post_processor=template(pair=[second]))
    assert "puts the two texts of a pair between" in refusal(lambda: load_pretrained(folder), folder)


def test_no_classification_token(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("electra")
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    mark, second = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    change(folder / "tokenizer.json", post_processor=template(pair=[mark, second]))
    model = load_pretrained(folder)
    layout = Layout("classification", False, None, None)
    message = refusal(lambda: units(model, ["a"], None, layout), folder)
    assert "no classification token" in message and "use first or mean" in message
