"""What transferability scores are called in tables, which of them look at what, and the columns they are told in."""

LOG_ME, H_SCORE, H_SCORE_SHRUNK = "log_me", "h_score", "h_score_shrunk"
LEEP, NCE = "leep", "nce"
TERM_DIVERGENCE, CENTROID_DISTANCE, PROXY_A_DISTANCE = "term_divergence", "centroid_distance", "proxy_a_distance"

# Of the states of the target's examples and their labels: defined for the pretrained encoder too.
OF_STATES = (LOG_ME, H_SCORE, H_SCORE_SHRUNK)
# Of what the intermediate task's head says of the target's examples, and their labels.
OF_OUTPUTS = (LEEP, NCE)
# Of the two tasks' texts, before any training at all. The larger, the further apart.
OF_DOMAINS = (TERM_DIVERGENCE, CENTROID_DISTANCE, PROXY_A_DISTANCE)

# One row for each score. `seed` is that of the intermediate training; NA for scores of the pretrained encoder and of
# texts. `examples` counts the target's training examples that were read.
COLUMNS = {
    "model": "str",
    "intermediate": "str",
    "task": "str",
    "seed": "Int64",
    "measure": "str",
    "value": "float64",
    "gain_of_score": "float64",
    "examples": "int64",
}
