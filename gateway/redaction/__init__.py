"""Stage `redact`: masks values in requests, and restores them in answers."""
