"""Stage 4: what leaves a request, and comes back in the answer."""
