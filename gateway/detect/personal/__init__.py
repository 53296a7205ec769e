"""Scanners for personal data, and the custom recognizers."""
