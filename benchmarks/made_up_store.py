"""Fill the run store of the working folder with a made-up result for every run of its configuration.

Only what counts finished runs and estimates times reads them; a training would find them wrong and train.
"""

from __future__ import annotations

import json

from transfer_atlas import plan, study
from transfer_atlas.identity import digest_of
from transfer_atlas.training.store import RESULT, Store


def main() -> None:
    """Write the results."""
    settings, store, sources = study.read_settings(), Store(plan.STORE), study.sources()
    facts = {"tokens": 10_000, "seconds": 5.0}
    for cell, run in plan.all_runs(settings, plan.expand(settings)):
        folder = store.folder(digest_of(plan.run_identity(settings, cell, run, sources)))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).write_text(json.dumps({"facts": facts}), encoding="utf-8")


if __name__ == "__main__":
    main()
