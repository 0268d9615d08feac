"""How metrics are called where people read them."""

METRIC_LABELS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "matthews": "Matthews correlation",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "span_f1": "span F1",
    "span_precision": "span precision",
    "span_recall": "span recall",
}
