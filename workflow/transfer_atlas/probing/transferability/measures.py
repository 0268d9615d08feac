"""What transferability scores are called in tables, and which of them look at what."""

LOG_ME, H_SCORE, H_SCORE_SHRUNK = "log_me", "h_score", "h_score_shrunk"
LEEP, NCE = "leep", "nce"
TERM_DIVERGENCE, CENTROID_DISTANCE, PROXY_A_DISTANCE = "term_divergence", "centroid_distance", "proxy_a_distance"

# Of the states of the target's examples and their labels: defined for the pretrained encoder too.
OF_STATES = (LOG_ME, H_SCORE, H_SCORE_SHRUNK)
# Of what the intermediate task's head says of the target's examples, and their labels.
OF_OUTPUTS = (LEEP, NCE)
# Of the two tasks' texts, before any training at all. The larger, the further apart.
OF_DOMAINS = (TERM_DIVERGENCE, CENTROID_DISTANCE, PROXY_A_DISTANCE)
