"""Judges answers: what may leave, what is restored, redacted or blocked."""
