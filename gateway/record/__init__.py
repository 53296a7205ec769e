"""Stage `durable`, and the records of ended calls: decision log, metrics and log."""
