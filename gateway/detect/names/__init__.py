"""Names, places and organisations, found by language models in processes of their own, beside the line."""
