"""Takes what a call needs in one atomic step, or nothing."""
