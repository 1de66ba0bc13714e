"""A billing company to work against: a server process of its own that speaks Rev.io's shapes and misbehaves on demand.

It shares no code with the client, nor with anything else in the program: it imports Starlette, uvicorn, the standard
library and itself, so that an error in the client cannot hide behind the same error here.
"""
