"""How metrics are called where people read them."""

METRIC_LABELS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "matthews": "Matthews correlation",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
}
