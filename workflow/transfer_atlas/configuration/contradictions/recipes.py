"""Recipes whose settings do not go together."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas.configuration.wording import Problem, one_of
from transfer_atlas.settings import Settings

# A mix of layers is for states that stay as they are.
_FINETUNED_HEADS = ("linear", "bi_attention", "crf", "bilstm_crf")


def in_recipes(settings: Settings) -> Iterator[Problem]:
    """Recipes that ask for what their method does not do."""
    for name, recipe in settings.recipes.items():
        if recipe.method == "finetune" and recipe.head not in _FINETUNED_HEADS:
            message = one_of(recipe.head, _FINETUNED_HEADS, "with method finetune ")
            yield Problem(("recipes", name, "head"), recipe.head, message)
        if recipe.layer != "last" and (recipe.method != "extract" or recipe.head != "linear"):
            message = "only a linear head with method extract reads one layer; leave it out"
            yield Problem(("recipes", name, "layer"), recipe.layer, message)
        elif recipe.layer == "each" and recipe.search:
            message = "layer: each reads every layer with the same hyper-parameters; leave search out"
            yield Problem(("recipes", name, "search"), recipe.search, message)
        if "each" in recipe.search.get("layer", []):
            message = "each is no layer but a run for every layer; list last or numbers"
            yield Problem(("recipes", name, "search", "layer"), recipe.search["layer"], message)
        if recipe.method == "extract" and recipe.precision == "bfloat16":
            message = "heads on stored states are trained in float32; leave it out"
            yield Problem(("recipes", name, "precision"), recipe.precision, message)
        if recipe.method == "extract" and recipe.frozen_layers is not None:
            message = "method extract freezes the whole encoder; leave it out"
            yield Problem(("recipes", name, "frozen_layers"), recipe.frozen_layers, message)
        if recipe.method == "extract" and recipe.layer_decay != 1.0:
            message = "method extract trains no layer of the encoder; leave it out"
            yield Problem(("recipes", name, "layer_decay"), recipe.layer_decay, message)
        if recipe.method == "extract" and recipe.unfreeze_epochs is not None:
            message = "method extract never trains the encoder; leave it out"
            yield Problem(("recipes", name, "unfreeze_epochs"), recipe.unfreeze_epochs, message)
        elif recipe.unfreeze_epochs is not None and recipe.frozen_layers is not None:
            message = "unfreezing ends with all layers trained, but frozen_layers keeps some frozen; leave one out"
            yield Problem(("recipes", name, "unfreeze_epochs"), recipe.unfreeze_epochs, message)
        elif recipe.unfreeze_epochs is not None and recipe.unfreeze_epochs >= recipe.epochs and recipe.min_steps == 0:
            message = f"training ends (epochs: {recipe.epochs}) with all layers frozen; use more epochs or min_steps"
            yield Problem(("recipes", name, "unfreeze_epochs"), recipe.unfreeze_epochs, message)
