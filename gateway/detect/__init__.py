"""Scanners: pure text to `Finding`s. No asyncio, no client, no adapter; used by `pii` and `output`."""
