"""Chooses the target of a call, sends the call, and reads the answer."""
