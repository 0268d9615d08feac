"""Hidden states of a model on a task, stored once and read by all."""
