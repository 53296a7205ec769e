"""Stages 2 and 3 as they act: what a call needs is taken in one atomic step, or nothing is."""
