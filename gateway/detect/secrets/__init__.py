"""Scanners for keys, tokens and passwords, and for the gateway's own secrets."""
