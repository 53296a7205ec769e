"""Names, places and organizations, found by language models in separate processes, in the background."""
