"""The compiler of Rego."""
