"""Stage `durable`, and the record of an ended call in the decision log, the metrics and the log."""
