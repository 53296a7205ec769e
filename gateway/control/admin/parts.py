"""The parts of the gateway that the control plane uses. `serving.app.Gateway` provides them.

A reload replaces `runtime`, so handlers read the parts at each request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.config.grammar import Config
from gateway.control.admin.admin_keys import AdminKeys
from gateway.detect.secrets.own import OwnSecrets
from gateway.errors import Refusal
from gateway.policy.engines.live import Policies
from gateway.record.audit import Audit
from gateway.record.telemetry import Telemetry
from gateway.record.upload import Uploads
from gateway.stores import Store
from gateway.stores.writer import Writer
from gateway.tools.servers import Servers
from gateway.upstream.health import Healths


class Runtime(Protocol):
    """The parts of the current configuration."""

    @property
    def config(self) -> Config: ...
    @property
    def admin(self) -> AdminKeys | None: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def own(self) -> OwnSecrets: ...
    @property
    def alone(self) -> Callable[[], bool]:
        """Whether the shared state is out of reach."""
        ...


class Shares(Protocol):
    """The calls in flight."""

    calls: int


class Shared(Protocol):
    """The parts that outlive a reload."""

    @property
    def store(self) -> Store: ...
    @property
    def audit_writer(self) -> Writer: ...
    @property
    def telemetry(self) -> Telemetry: ...
    @property
    def policies(self) -> Policies | None: ...
    @property
    def uploads(self) -> Uploads | None: ...
    @property
    def shares(self) -> Shares: ...
    @property
    def servers(self) -> Servers | None: ...
    @property
    def healths(self) -> Healths: ...

    @property
    def census(self) -> Mapping[str, int]:
        """State -> number of workflows, a few seconds old."""
        ...

    @property
    def stopping(self) -> bool: ...


class Gateway(Protocol):
    """The running gateway."""

    @property
    def runtime(self) -> Runtime: ...
    @property
    def shared(self) -> Shared: ...

    def stranger(self, scope: Any) -> Refusal | None:
        """Count a request without a valid key that is not a call; the refusal if its address makes too many."""
