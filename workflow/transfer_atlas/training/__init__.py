"""The training loop, batches, checkpoints and the run store."""
