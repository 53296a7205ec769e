"""Scanners: text -> `Finding`s, as pure functions without I/O. Used for requests (`pii`) and answers (`output`)."""
