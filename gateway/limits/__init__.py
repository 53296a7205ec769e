"""Stages 2 and 3: which buckets and quotas a call draws on, at what price."""
