"""Stage `output`: what an answer may carry."""
