"""Part of stage `reserve`: the buckets and quotas that a call must pay, and the amounts."""
