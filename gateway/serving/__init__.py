"""The process: the HTTP server, the ASGI application, the runtime, and fair shares."""
