"""Where a bundle comes from: a folder on disk, a git repository, or a bundle server.

Config keys: `policy.path`, `policy.git`, `policy.server`. A source only puts files into a folder; `engines.live`
decides whether they take effect, after the bundle compiled and its own tests passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.policy.sources.base import Found, Source, SourceError

if TYPE_CHECKING:
    from gateway.config.sections import Policy
    from gateway.policy.sources.base import Reports

__all__ = ["Found", "Source", "SourceError", "source_of"]


def source_of(policy: Policy, reports: Reports | None) -> Source:
    """The configured source. Sources are imported on use."""
    if policy.git is not None:
        from gateway.policy.sources.git import Git

        return Git(policy.git, policy.cache, reports)
    if policy.server is not None:
        from gateway.policy.sources.server import BundleServer

        return BundleServer(policy.server, policy.cache, reports)
    from gateway.policy.sources.folder import Folder

    return Folder(policy.path)
