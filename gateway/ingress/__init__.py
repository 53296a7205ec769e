"""Turns scope and body into a `Call`, and sends the answer."""
