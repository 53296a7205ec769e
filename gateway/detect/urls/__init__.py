"""Finds URLs in running text, and judges whether they carry data out."""
