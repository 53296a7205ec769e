"""The process: HTTP server, ASGI application, runtime, shares."""
