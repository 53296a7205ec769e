"""Stage `reserve`: what a call needs is taken in one atomic step, or nothing is."""
