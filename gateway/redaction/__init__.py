"""Stage `redact`: values are masked in the request and restored in the answer."""
