"""Scores texts for prompt injection."""
