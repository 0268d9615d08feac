"""Command line: the steps that rules call, and the commands that people type."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

from transfer_atlas.errors import UserError


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m transfer_atlas", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *positional: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        for argument in positional:
            sub.add_argument(argument)
        return sub

    def configured(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--configfile",
            nargs="+",
            type=Path,
            default=[],
            help="configuration files laid over config.yaml; without it, the settings of the latest run",
        )

    check = command("check", "validate configuration files and say what they select")
    configured(check)
    status = command("status", "what is done, running and missing, and the time left")
    configured(status)
    status.add_argument("--orphans", action="store_true", help="list results that no configuration asks for")
    status.add_argument("--cores", type=int, default=os.cpu_count(), help="cores to estimate the time left for")
    store = command("store", "question the store of finished runs")
    store.add_argument("action", choices=["list", "verify", "clear"])
    store.add_argument("--task", help="only runs of this task")
    store.add_argument("--model", help="only runs of this model")
    store.add_argument("--unused", action="store_true", help="only runs that the current settings do not ask for")
    store.add_argument("--sample", type=int, default=3, help="verify: how many runs to recompute (0: checksums only)")
    store.add_argument("--seed", type=int, default=0, help="verify: which sample")
    store.add_argument("--yes", action="store_true", help="clear: do it, instead of saying what would be done")
    encode = command("encode", "write a model's states for every word of a text, all layers")
    encode.add_argument("--model", required=True, help="a folder, or a downloaded model of the configuration")
    encode.add_argument("--text", required=True, type=Path, help="one sentence a line, words separated by white space")
    encode.add_argument(
        "--output",
        required=True,
        type=Path,
        help="archive (.npz) to write: of each line an array [layers, words, dimensions], named 0, 1, ...; "
        "layer 0 is the embeddings; special tokens are left out",
    )
    encode.add_argument(
        "--pieces",
        choices=["first", "mean"],
        help="which vector a word of several pieces gets: that of its first piece (default), or the mean of all",
    )
    encode.add_argument(
        "--stateful", action="store_true", help="ELMo: a sentence starts from the state where the one before it ended"
    )
    configured(encode)
    schema = command("schema", "write the JSON schema and the settings' reference")
    schema.add_argument("--schema", type=Path, default=Path("workflow/schemas/config.schema.json"))
    schema.add_argument("--reference", type=Path, default=Path("docs/settings.md"))

    command("download", "step: fetch an artifact", "artifact")
    command("prepare_task", "step: read, check and split a task", "task")
    command("compare_tasks", "step: count texts that tasks share")
    command("train", "step: fine-tune the runs of a cell", "cell")
    command("decontaminate", "step: find what an intermediate training leaves out", "intermediate")
    command("score_transferability", "step: score a state before training on a target", "model", "intermediate", "task")
    command("train_intermediate", "step: train on an intermediate task", "model", "intermediate", "seed")
    command("keep_weights", "step: keep the weights of a fine-tuned run", "model", "state", "task")
    command("extract_features", "step: encode a task with a model state", "model", "state", "task", "layout")
    command("train_heads", "step: train all heads that read the same representations", "bundle")
    command("train_sequence_heads", "step: train the heads of a cell that read all tokens or words", "cell")
    command("probe_layers", "step: probe the layers before and after fine-tuning", "model", "state", "task")
    command("compare_domains", "step: set gains in groups against their distance from a reference")
    command("aggregate", "step: make the tables")
    command("plot", "step: draw the figures")
    return parser


def main() -> int:
    """Run one command; returns the exit status."""
    arguments = _arguments().parse_args()
    if arguments.command != "download":
        # Only `download` may reach the network; a library that tries elsewhere fails at once instead of hanging.
        os.environ["HF_HUB_OFFLINE"] = "1"
    # Logs are files: no progress bars of libraries in them.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Importing makes a million objects and no garbage; looking for it takes a fifth of the time. Training turns it on.
    gc.disable()
    from transfer_atlas import commands

    try:
        getattr(commands, arguments.command)(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
