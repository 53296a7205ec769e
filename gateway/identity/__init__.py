"""Stage `identify`: who calls."""
