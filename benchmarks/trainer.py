"""What ours is compared with: `transformers.Trainer`, one run a process, as a shell loop would call it.

`default` is what run_glue does when it is told batch size, learning rate and epochs: padding to 128 tokens, float32,
and two threads. `best` is the same with every knob that helps on a CPU: bfloat16 where the processor has it, padding
to the longest text of a batch, one thread a process. Neither saves or reports anything.

Both train the classifier that ours trains: dropout and a linear map on the mean of the last states. run_glue's own head
reads the first token through BERT's pooler, which costs no less and learns slower from a sentence encoder's weights;
with it one would compare heads, not systems.

Prints one line of JSON: accuracy, core-seconds and seconds of training and evaluation, and versions.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Train and evaluate once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=["default", "best"], required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.csv and test.csv")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    print(json.dumps(train(parser.parse_args())))


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune with Trainer and score the test rows."""
    import numpy as np
    import torch
    from torch import Tensor, nn
    from transformers import (
        AutoModel,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        default_data_collator,
        set_seed,
    )

    class Classifier(nn.Module):
        """Encoder, mean over a text's tokens, dropout, linear map; called as Trainer calls models."""

        def __init__(self, encoder: nn.Module):
            super().__init__()
            self.encoder = encoder
            self.dropout = nn.Dropout(0.1)
            self.output = nn.Linear(encoder.config.hidden_size, 2)  # type: ignore[union-attr,arg-type]
            nn.init.normal_(self.output.weight, std=0.02)
            nn.init.zeros_(self.output.bias)

        def forward(
            self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, labels: Tensor
        ) -> dict[str, Tensor]:
            states = self.encoder(input_ids, attention_mask, token_type_ids).last_hidden_state
            weights = attention_mask[:, :, None].to(states.dtype)
            logits = self.output(self.dropout((states * weights).sum(1) / weights.sum(1)))
            return {"loss": nn.functional.cross_entropy(logits.float(), labels), "logits": logits}

    best = arguments.system == "best"
    torch.set_num_threads(1 if best else 2)
    # The seed of the new head; Trainer seeds again for order and dropout.
    set_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = Classifier(AutoModel.from_pretrained(arguments.model, add_pooling_layer=False))
    padding = False if best else "max_length"

    def encoded(split: str) -> list[dict[str, Any]]:
        with open(arguments.data / f"{split}.csv", encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        tokens = tokenizer(
            [row["text"] for row in rows], truncation=True, max_length=arguments.max_length, padding=padding
        )
        return [
            {**{name: values[k] for name, values in tokens.items()}, "label": int(row["label"])}
            for k, row in enumerate(rows)
        ]

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                use_cpu=True,
                seed=arguments.seed,
                learning_rate=arguments.learning_rate,
                num_train_epochs=arguments.epochs,
                per_device_train_batch_size=arguments.batch_size,
                per_device_eval_batch_size=arguments.batch_size,
                bf16=best and bool(torch.cpu._is_avx512_bf16_supported()),
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=encoded("train"),
            data_collator=DataCollatorWithPadding(tokenizer) if best else default_data_collator,
        )
        clock, cores = time.perf_counter(), time.process_time()
        trainer.train()
        scored = trainer.predict(encoded("test"))
        seconds, core_seconds = time.perf_counter() - clock, time.process_time() - cores
    return {
        "accuracy": float(np.mean(scored.predictions.argmax(1) == scored.label_ids)),
        "seconds": seconds,
        "core_seconds": core_seconds,
        "precision": "bfloat16" if trainer.args.bf16 else "float32",
        "versions": {name: version(name) for name in ("transformers", "accelerate", "torch")},
    }


if __name__ == "__main__":
    main()
