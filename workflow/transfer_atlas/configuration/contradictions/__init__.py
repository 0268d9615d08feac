"""Settings that are well-formed one by one but do not go together, by what they are about."""
