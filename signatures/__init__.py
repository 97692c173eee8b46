"""The language of regressions and its engine: a facts document in, findings out."""
