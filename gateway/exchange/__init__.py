"""Sends the answer of the upstream to the caller, judged whole or as a stream, or sends the refusal."""
