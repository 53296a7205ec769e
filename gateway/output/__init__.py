"""Stage 7: what an answer may carry."""
