"""Stage `reserve`: takes everything that a call needs in one atomic step, or nothing."""
