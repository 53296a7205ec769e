"""Stage `identify`: determines the caller."""
