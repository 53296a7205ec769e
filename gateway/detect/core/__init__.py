"""What all scanners are built from: rules, the index in front of them, context words and the streaming window."""
