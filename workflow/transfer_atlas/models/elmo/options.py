"""The `options.json` of an ELMo model, as bilm-tf wrote it when it trained the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from transfer_atlas.errors import UserError

Size = Annotated[int, Field(ge=1)]
Clip = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    """What training alone needed (learning rates, numbers of tokens) may stand beside and is not read."""

    model_config = ConfigDict(
        extra="ignore", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class CharacterEmbedding(_Section):
    """The section `char_cnn.embedding`."""

    dim: Size


class CharacterCnn(_Section):
    """The section `char_cnn`."""

    embedding: CharacterEmbedding
    filters: Annotated[list[tuple[Size, Size]], Field(min_length=1)]
    """Width in characters and number of the filters."""
    activation: Literal["relu", "tanh"]
    n_highway: Annotated[int, Field(ge=0)] = 0
    n_characters: Literal[261, 262]
    """262 counts the row for masked tokens, which the weights do not hold."""
    max_characters_per_token: Annotated[int, Field(ge=3)]
    """Ids of a word, its begin and end included; longer words are cut."""

    @model_validator(mode="after")
    def _filters_fit(self) -> Self:
        if any(width > self.max_characters_per_token for width, _ in self.filters):
            raise ValueError("a filter is wider than max_characters_per_token")
        return self

    @property
    def n_filters(self) -> int:
        """Number of filters of all widths."""
        return sum(number for _, number in self.filters)


class Lstm(_Section):
    """The section `lstm`."""

    dim: Size
    """Width of the memory cell."""
    projection_dim: Size
    """Width of a direction's output and of its input."""
    n_layers: Size
    use_skip_connections: bool = False
    """Whether each layer above the first adds its input to its output."""
    cell_clip: Clip | None = None
    """Largest absolute value of the memory cell."""
    proj_clip: Clip | None = None
    """Largest absolute value of the projected output."""


class Options(_Section):
    """The whole file."""

    lstm: Lstm
    char_cnn: CharacterCnn
    bidirectional: Literal[True] = True


def read_options(path: Path) -> Options:
    """Read and check `path`.

    Raises:
        UserError: The file is missing, is no JSON, or lacks or misstates a value.
    """
    try:
        return Options.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); fetch the model again") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {place}: {first['msg']}; it should be the options.json of an ELMo model") from None
