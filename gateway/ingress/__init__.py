"""Scope and body become a `Call`, and the answer finds its way out."""
