"""Other agents behind the gateway: their cards, and the answers to messages."""
