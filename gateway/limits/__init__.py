"""Stages 2 and 3: the buckets and quotas that a call must pay, and the amounts."""
