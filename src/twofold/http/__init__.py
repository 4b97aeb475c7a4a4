"""The HTTP door: commands and queries in, answers and problems out, over any ASGI server."""
