"""Finds SQL in text, and reads its statements."""
