"""Meshgate: a policy-enforcing gateway between agents and what they call."""

__version__ = "0.1.0"
