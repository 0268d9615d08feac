"""What kind of transfer an intermediate and a target task make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from transfer_atlas.settings import Intermediate, Task

Setting = Literal["same", "domain", "cross-lingual"]


@dataclass(frozen=True)
class Pairs:
    """The entries of a configuration that tell."""

    tasks: Mapping[str, Task]
    intermediates: Mapping[str, Intermediate]

    def family(self, target: str) -> str:
        """The kind of task that the target is; its type where the configuration names no family."""
        task = self.tasks[target]
        return task.family or task.type.replace("_", " ")

    def setting(self, intermediate: str, target: str) -> Setting:
        """What the encoder has to bridge: languages, else domains, else neither.

        Of a chain of intermediate tasks the last decides.
        """
        last, task = self.tasks[self.intermediates[intermediate].task], self.tasks[target]
        if last.language != task.language:
            return "cross-lingual"
        return "same" if last.domain == task.domain else "domain"

    def head(self, intermediate: str, method: str) -> Literal["drop", "keep"]:
        """Whether a target run goes on with the intermediate training's head; frozen encoders never do."""
        return self.intermediates[intermediate].head if method == "finetune" else "drop"
