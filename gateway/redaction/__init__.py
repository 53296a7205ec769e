"""Stage `redact`: what leaves a request, and comes back in the answer."""
