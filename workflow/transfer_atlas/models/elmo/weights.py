"""The HDF5 weights of an ELMo model in the layout of bilm-tf, read into the parameters of `encoder.Elmo`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from transfer_atlas.errors import UserError
from transfer_atlas.models.elmo.characters import N_CHARACTERS
from transfer_atlas.models.elmo.options import Options

Shape = tuple[int, ...]


def _cell(direction: int, layer: int) -> str:
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def layout(options: Options) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every array of the file, in the order of the model.

    The projection of the token encoder is left out where there is nothing to project: as many filters as dimensions.
    """
    cnn, lstm = options.char_cnn, options.lstm
    yield "char_embed", (N_CHARACTERS, cnn.embedding.dim)
    for index, (width, number) in enumerate(cnn.filters):
        yield f"CNN/W_cnn_{index}", (1, width, cnn.embedding.dim, number)
        yield f"CNN/b_cnn_{index}", (number,)
    for index in range(cnn.n_highway):
        for part in ("carry", "transform"):
            yield f"CNN_high_{index}/W_{part}", (cnn.n_filters, cnn.n_filters)
            yield f"CNN_high_{index}/b_{part}", (cnn.n_filters,)
    if cnn.n_filters != lstm.projection_dim:
        yield "CNN_proj/W_proj", (cnn.n_filters, lstm.projection_dim)
        yield "CNN_proj/b_proj", (lstm.projection_dim,)
    for layer in range(lstm.n_layers):
        for direction in range(2):
            cell = _cell(direction, layer)
            yield f"{cell}/W_0", (2 * lstm.projection_dim, 4 * lstm.dim)
            yield f"{cell}/B", (4 * lstm.dim,)
            yield f"{cell}/W_P_0", (lstm.dim, lstm.projection_dim)


def _read(file: h5py.File, name: str, shape: Shape) -> Tensor:
    """One array of the file, float32.

    Raises:
        ValueError: with what is wrong with it, in words that follow its name.
    """
    data = file.get(name)
    if not isinstance(data, h5py.Dataset):
        raise ValueError("is missing")
    # HDF5 can point at any other file of the machine.
    if data.file != file or data.external or data.is_virtual:
        raise ValueError("lies in another file")
    if data.shape != shape:
        raise ValueError(f"has the shape {data.shape}, but options.json asks for {shape}")
    if data.dtype.kind != "f":
        raise ValueError(f"holds {data.dtype}, not floating-point numbers")
    values = torch.from_numpy(np.ascontiguousarray(data[...], dtype=np.float32))
    if not bool(values.isfinite().all()):
        raise ValueError("holds values that are not finite")
    return values


def read_arrays(path: Path, options: Options) -> dict[str, Tensor]:
    """The arrays of `layout` under the names of the file.

    Raises:
        UserError: The file is no HDF5 file, or an array is missing, of another shape or not finite.
    """
    arrays: dict[str, Tensor] = {}
    name = ""
    try:
        with h5py.File(path, "r") as file:
            for name, shape in layout(options):
                arrays[name] = _read(file, name, shape)
    except ValueError as error:
        raise UserError(f"{path}: {name} {error}; fetch options and weights of the same model again") from None
    except (OSError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: {name or 'the file'} cannot be read as HDF5 ({reason}); fetch it again") from None
    return arrays


def _forget_bias(bias: Tensor, dim: int) -> Tensor:
    """The bias with the 1 that TensorFlow adds to the forget gate (the third of four) when it runs the cell."""
    shifted = bias.clone()
    shifted[2 * dim : 3 * dim] += 1.0
    return shifted


def read_parameters(path: Path, options: Options) -> dict[str, Tensor]:
    """The weights as the state dictionary of `encoder.Elmo`.

    Raises:
        UserError: as `read_arrays`.
    """
    arrays = read_arrays(path, options)
    lstm = options.lstm
    parameters = {"tokens.embedding.weight": arrays["char_embed"]}
    for index in range(len(options.char_cnn.filters)):
        parameters[f"tokens.filters.{index}.weight"] = arrays[f"CNN/W_cnn_{index}"][0].flatten(0, 1).T.contiguous()
        parameters[f"tokens.filters.{index}.bias"] = arrays[f"CNN/b_cnn_{index}"]
    for index in range(options.char_cnn.n_highway):
        for part in ("carry", "transform"):
            linear = f"tokens.highways.{index}.{part}"
            parameters[f"{linear}.weight"] = arrays[f"CNN_high_{index}/W_{part}"].T.contiguous()
            parameters[f"{linear}.bias"] = arrays[f"CNN_high_{index}/b_{part}"]
    if "CNN_proj/W_proj" in arrays:
        parameters["tokens.projection.weight"] = arrays["CNN_proj/W_proj"].T.contiguous()
        parameters["tokens.projection.bias"] = arrays["CNN_proj/b_proj"]
    for layer in range(lstm.n_layers):
        cells = [_cell(direction, layer) for direction in range(2)]
        both = torch.stack([arrays[f"{cell}/W_0"] for cell in cells])
        parameters |= {
            f"bilm.layers.{layer}.input_weight": both[:, : lstm.projection_dim].contiguous(),
            f"bilm.layers.{layer}.state_weight": both[:, lstm.projection_dim :].contiguous(),
            f"bilm.layers.{layer}.bias": torch.stack([_forget_bias(arrays[f"{cell}/B"], lstm.dim) for cell in cells]),
            f"bilm.layers.{layer}.projection": torch.stack([arrays[f"{cell}/W_P_0"] for cell in cells]),
        }
    return parameters
