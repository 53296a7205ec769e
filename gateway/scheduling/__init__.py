"""Where the judging of texts is done: on the event loop or in a thread, each team in its turn."""
