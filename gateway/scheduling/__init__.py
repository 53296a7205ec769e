"""Scheduling of scans: on the event loop or in a thread, with fair turns for teams."""
