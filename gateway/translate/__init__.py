"""Translation between dialects: a call whose target has another wire format than its caller.

One neutral model (`model`) is in the middle. Each dialect reads and writes it: `chat`, `messages`, `gemini`, and
`responses`. No converter knows two dialects. What a target cannot express is dropped and named, or refused.
"""
