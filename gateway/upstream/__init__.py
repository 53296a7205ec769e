"""Stage 6: where a call goes, and how its answer is read."""
