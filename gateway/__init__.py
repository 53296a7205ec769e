"""Meshgate: a policy-enforcing gateway between agents and what they call."""
