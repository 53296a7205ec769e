"""The ids of sessions that clients of the handshake era get: sealed, so that the gateway keeps nothing.

An id contains the session with the server and the workflow of calls without a correlation id. Nobody but the caller
that opened the session can use it, at no other server. The same holds for the ids of questions that a client gets: they
contain the id that the server gave, so that any worker can pass the answer on.
"""

from __future__ import annotations

import os
import time
from hmac import compare_digest
from typing import Any, Final, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag

from gateway import ids
from gateway.call import Json, Subject
from gateway.dialects.mcp_questions import Question, Round, Task, TaskAsk
from gateway.ids import base64url, from_base64url
from gateway.redaction.vault import Seal
from gateway.stores import Clock
from gateway.tools.wire import UNOPENED, Session

_LONGEST: Final = 4096
_KEPT: Final = 1024  # sessions that are known as opened
_LONGEST_STATE: Final = 64 * 1024
_PARTS: Final = 5  # of the id of a session
_ASK_PARTS: Final = 4  # of the key of a question of a task
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_DIGITS: Final = 12  # of a number of tokens


class Opened(NamedTuple):
    """A session of a client: that with the server; the version that the client speaks; its workflow."""

    upstream: Session
    version: str
    workflow: str
    able: Json
    """What the client can be asked, as capabilities: see `mcp_questions.able`."""

    @property
    def joined(self) -> bool:
        """Whether there is a session with the server: not before the user has an account there."""
        return bool(self.upstream.version)


class Sessions:
    """Seals and opens ids. `seal`: None without a key; then sessions end with the process."""

    def __init__(self, seal: Seal | None, clock: Clock = time.time) -> None:
        self._clock = clock
        self._seal = seal or Seal(os.urandom(32))
        self._known: dict[tuple[str, str, str], Opened] = {}  # by context, sub-agent and id: each call asks often

    def new(self, subject: Subject, server: str, upstream: Session, version: str, able: Json) -> str:
        """The id of a new session. `able`: see `Opened.able`."""
        return self._sealed(_context(subject, server), [upstream.version, upstream.id, version, ids.uuid7(), able])

    def open(self, subject: Subject, server: str, id: str) -> Opened | None:
        """The session with this id; None if there is none for this caller at this server."""
        context = _context(subject, server)
        known = self._known.get((context, subject.acting, id))
        if known is not None:
            return known
        said = self._opened(context, id)
        if said is None or len(said) != _PARTS:
            return None
        version, upstream, spoken, workflow, able = said
        holder = (subject.team, subject.agent, subject.acting, workflow)
        opened = Opened(Session(version, upstream, holder=holder) if version else UNOPENED, spoken, workflow, able)
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[context, subject.acting, id] = opened
        return opened

    def ask(self, subject: Subject, server: str, opened: Opened, question: Question, until: float) -> str:
        """The id under which the client of a session gets a question. `until`: Unix seconds."""
        return self._sealed(_context(subject, server, f"question\0{opened.workflow}"), [*question, int(until)])

    def asked(self, subject: Subject, server: str, opened: Opened, id: object) -> Question | None:
        """The question with this id; None if the client of this session got none, or if it is too old."""
        said = self._opened(_context(subject, server, f"question\0{opened.workflow}"), id) if type(id) is str else None
        if said is None or said[-1] < self._clock():
            return None
        return Question(*said[:-1])

    def placed(self, subject: Subject, server: str, opened: Opened, event: str) -> str:
        """The id of an event of a stream, for the client of a session. `event`: the id that the server gave."""
        return self._sealed(_context(subject, server, f"event\0{opened.workflow}"), [event])

    def kept(self, subject: Subject, server: str, opened: Opened, stream: str, number: int) -> str:
        """The id of an event of an answer that the gateway keeps, for the client of a session."""
        return self._sealed(_context(subject, server, f"event\0{opened.workflow}"), [stream, number])

    def place(self, subject: Subject, server: str, opened: Opened, id: str) -> str | tuple[str, int] | None:
        """The id that the server gave to an event; of an answer that is kept, the stream and the number of the event.

        None if the client of this session got no such event.
        """
        said = self._opened(_context(subject, server, f"event\0{opened.workflow}"), id)
        if not said:
            return None
        return (said[0], said[1]) if len(said) > 1 else str(said[0])

    def round(self, subject: Subject, server: str, asked: Round, until: float) -> str:
        """The state with which a caller of the later era gets questions. `until`: Unix seconds."""
        return self._sealed(_context(subject, server, "round"), [*asked, int(until)])

    def round_of(self, subject: Subject, server: str, state: object) -> Round | None:
        """The questions that this caller got with a state; None if there are none, or if they are too old."""
        context = _context(subject, server, "round")
        said = self._opened(context, state, _LONGEST_STATE) if type(state) is str else None
        if said is None or said[-1] < self._clock() or type(said[3]) is not dict:  # one number, in earlier versions
            return None
        return Round(*said[:-1])

    def task(self, subject: Subject, server: str, task: Task, until: float) -> str:
        """The id under which a caller has a task. `until`: Unix seconds."""
        return self._sealed(_context(subject, server, "task"), [*task, int(until)])

    def task_of(self, subject: Subject, server: str, id: object) -> Task | None:
        """The task with this id; None if this caller has none."""
        said = self._opened(_context(subject, server, "task"), id) if type(id) is str else None
        return None if said is None or said[-1] < self._clock() else Task(*said[:-1])

    def ask_key(self, subject: Subject, server: str, task: Task, asked: TaskAsk) -> str:
        """The key under which a caller gets a question of a task: the same each time, and no other caller's."""
        said = f"{asked.kind}.{asked.tokens}.{asked.key}"
        context = _context(subject, server, f"ask\0{task.id}")
        digest = self._seal.digest(context, said).hex().translate(_LETTERS)  # digits may look like a number of a person
        return f"{digest}.{said}"

    def ask_of(self, subject: Subject, server: str, task: Task, key: str) -> TaskAsk | None:
        """The question of a task that this caller got under a key; None if there is none."""
        parts = key.split(".", 3)
        if len(parts) != _ASK_PARTS or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > _DIGITS:
            return None
        asked = TaskAsk(parts[1], parts[3], int(parts[2]))
        return asked if compare_digest(self.ask_key(subject, server, task, asked).encode(), key.encode()) else None

    def name(self, id: str) -> str:
        """The name under which a session is recorded."""
        return self._seal.digest("mcp session", id).hex()

    def task_name(self, server: str, id: str) -> str:
        """The name under which the owner of a task is recorded. `id`: that the server gave."""
        return self._seal.digest(f"mcp task\0{server}", id).hex()

    def record(self, id: str, said: object) -> bytes:
        """What is recorded of a session, sealed."""
        return self._seal.enclose(f"mcp record\0{id}", orjson.dumps(said))

    def recorded(self, id: str, record: bytes) -> Any:
        """What was recorded. Raises InvalidTag."""
        return orjson.loads(self._seal.disclose(f"mcp record\0{id}", record))

    def page(self, subject: Subject, server: str, cursor: str | None, passed: int) -> str:
        """The cursor with which a caller gets more tasks: after `passed` of those at the server's cursor."""
        return self._sealed(_context(subject, server, "tasks"), [cursor, passed])

    def page_of(self, subject: Subject, server: str, cursor: object) -> tuple[str | None, int] | None:
        """Where a page of tasks begins; None for a cursor that this caller did not get."""
        said = self._opened(_context(subject, server, "tasks"), cursor) if type(cursor) is str else None
        return (said[0], said[1]) if said is not None else None

    def _sealed(self, context: str, said: list[object]) -> str:
        return base64url(self._seal.enclose(context, orjson.dumps(said)))

    def _opened(self, context: str, id: str, longest: int = _LONGEST) -> list[Any] | None:
        if len(id) > longest:
            return None
        try:
            sealed = from_base64url(id)
            said = orjson.loads(self._seal.disclose(context, sealed))
        except (InvalidTag, ValueError):
            return None
        if base64url(sealed) != id:  # decoding ignores what is no base64: what is recorded of an id would not be found
            return None
        return said if type(said) is list else None


def _context(subject: Subject, server: str, kind: str = "session") -> str:
    """What an id is sealed for."""
    return f"mcp {kind}\0{subject.team}\0{subject.agent}\0{server}"
