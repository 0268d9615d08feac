"""What probes measure, and their controls, as tables call them."""

PROBE, MUTUAL_INFORMATION = "probe", "mutual_information"
# Controls, which must come out at about 0: a state of the model with labels that were shuffled, and noise for states.
RANDOM_LABELS, RANDOM_STATES = "random labels", "random states"
