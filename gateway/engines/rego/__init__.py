"""Rego v1, compiled to Python."""
