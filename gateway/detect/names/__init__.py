"""Names, places and organizations, found by language models in processes of their own, beside the line."""
