"""Charges the usage of a call, and records the call."""
