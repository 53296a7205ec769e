"""Passes the answer from the upstream to the caller, judged whole or as a stream; or sends the refusal."""
