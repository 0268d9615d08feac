"""ELMo (Peters et al. 2018): a character-based biLM in its original file format, as an encoder of three layers."""
