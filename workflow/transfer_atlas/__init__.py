"""Transfer Atlas: when to fine-tune, when to extract features, and which pretrained layers carry the benefit."""
