"""Undoes disguises of values and words."""
