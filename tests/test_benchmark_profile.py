"""The table of processor time by room."""

from benchmarks.profile import rooms, table

STACKS = """\
run (meshgate:8);run (uvicorn/server.py:75) 4
serve (gateway/pipeline.py:80);scan (gateway/detect/core/index.py:10);sub (re/__init__.py:5) 3
serve (/src/gateway/pipeline.py:80) 2
serve (gateway/pipeline.py:80);judge (gateway/policy/engines/rego/runtime.py:4) 1
"""


def test_a_sample_belongs_to_the_innermost_room() -> None:
    assert rooms(STACKS) == {
        "event loop, server": 4,
        "detect/core": 3,
        "pipeline itself": 2,
        "policy/engines/rego": 1,
    }


def test_table_is_of_microseconds() -> None:
    text = table({"1k": (rooms(STACKS), 1000.0)})
    assert text.splitlines()[2] == "| event loop, server | 400 |"
    assert text.splitlines()[-1] == "| together | 1,000 |"
