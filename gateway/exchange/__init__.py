"""The answer on its way from the upstream to the caller, judged whole or as it streams; or the refusal."""
