"""The composition root: configuration -> `Runtime`.

A `Runtime` has everything that a call needs, compiled and immutable. A reload builds a new runtime and swaps it in
atomically, so a call has one configuration from start to end. Objects that must outlive a reload (the store, upstream
connections, caches, counters) are in `Shared`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gateway.agents.deliver import Deliveries
from gateway.agents.desk import AgentDesk
from gateway.agents.measures import Measures
from gateway.agents.push import Pushes
from gateway.agents.registry import Registry
from gateway.agents.remote import Remotes
from gateway.agents.signed import Signer as CardSigner
from gateway.agents.sober import SoberCards
from gateway.config import prices
from gateway.config.grammar import Config
from gateway.config.sections import Output, Pii
from gateway.control.admin.admin_keys import AdminKeys
from gateway.detect.core.rules import RuleSet
from gateway.detect.core.window import StreamScanner
from gateway.detect.injection.scoring import Injection
from gateway.detect.names.pool import Pool
from gateway.detect.personal import placeholders, recognizers
from gateway.detect.personal import scanner as pii_scan
from gateway.detect.secrets.own import OwnSecrets
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.unscannable import Beside
from gateway.errors import ConfigError, Failures
from gateway.exchange.answers import Answers
from gateway.exchange.cache import Cache
from gateway.exchange.desks import Desks
from gateway.exchange.endings import Endings
from gateway.exchange.forward import Exchange
from gateway.exchange.listen import Listeners
from gateway.exchange.siblings import Siblings
from gateway.identity.delegations import Delegations
from gateway.identity.identify import Identity
from gateway.identity.resource import Resources
from gateway.ingress.correlation import Signer, signer
from gateway.ingress.idempotency import Idempotency
from gateway.ingress.owners import Owners
from gateway.ingress.read import Ingress
from gateway.ingress.reply import Replies
from gateway.ingress.request import Correlation
from gateway.ingress.workflow_ids import WorkflowIds
from gateway.limits.charges import Charges
from gateway.limits.loops import Loops, remembers
from gateway.limits.quota import Quotas
from gateway.limits.ratelimit import RateLimits
from gateway.limits.tokens import O200k
from gateway.output.exfiltration import Exfiltration
from gateway.output.invisible import Invisible
from gateway.output.judges import Gate
from gateway.output.screen import Screen
from gateway.output.sqlgate import SqlFacts, SqlGate
from gateway.pipeline import Line
from gateway.policy.authorize import PolicyCheck
from gateway.policy.candidate import Candidate
from gateway.policy.engines.live import Policies
from gateway.policy.flow import Flow
from gateway.policy.inputs import Inputs
from gateway.policy.models import Models
from gateway.policy.oblige import Authorize
from gateway.policy.results import Results
from gateway.policy.visible import Visible
from gateway.record.audit import Audit
from gateway.record.durable import Durable
from gateway.record.ended import Recorder
from gateway.record.telemetry import Telemetry
from gateway.record.upload import Uploads
from gateway.redaction.content import Contents
from gateway.redaction.names import Names
from gateway.redaction.openings import MOST, Openings
from gateway.redaction.recall import Recall
from gateway.redaction.redact import Replacer
from gateway.redaction.spellings import Spellings
from gateway.redaction.stage import Redact
from gateway.redaction.taint import Taint
from gateway.redaction.texts import Texts
from gateway.redaction.values import Values
from gateway.redaction.vault import Seal, seal_of
from gateway.reserve.reserve import Reserve
from gateway.scheduling.lanes import Lanes
from gateway.serving.own_values import values
from gateway.serving.shares import Shares
from gateway.settle.settle import Settle
from gateway.stores import Store
from gateway.stores.writer import Writer
from gateway.texts import Finding
from gateway.tools.connections import Connections
from gateway.tools.desk import Desk
from gateway.tools.pins import Pins
from gateway.tools.plain import PlainDesk
from gateway.tools.plain_words import PlainWords
from gateway.tools.servers import Servers
from gateway.tools.sessions import Sessions
from gateway.tools.suspicion import Suspicion
from gateway.upstream.clients import Clients
from gateway.upstream.forward import Forward
from gateway.upstream.health import Healths


@dataclass(slots=True)
class Shared:
    """The objects that outlive a reload."""

    store: Store
    audit_writer: Writer
    clients: Clients
    tokens: O200k
    telemetry: Telemetry
    policies: Policies | None = None
    ner: Pool | None = None  # the processes that find names, if configured
    contents: Contents | None = None
    uploads: Uploads | None = None
    candidate: Candidate | None = None
    shares: Shares = field(default_factory=Shares)
    lanes: Lanes = field(default_factory=Lanes)
    healths: Healths = field(default_factory=Healths)  # of the targets
    census: dict[str, int] = field(default_factory=dict)  # state -> number of workflows, a few seconds old
    stopping: bool = False
    listeners: Listeners = field(default_factory=Listeners)
    siblings: Siblings = field(default_factory=Siblings)
    scanners: dict[Any, Any] = field(default_factory=dict)
    servers: Servers | None = None  # the tool servers
    remotes: Remotes | None = None  # the other agents
    deliveries: Deliveries | None = None  # of push notifications
    measures: Measures = field(default_factory=Measures)  # of the other agents
    counted: dict[int, None] = field(default_factory=dict)  # tool results that were counted: see Loops


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of one configuration that are reached from outside the line, and the line itself."""

    config: Config
    identity: Identity
    line: Line
    models: Models
    correlation: Correlation
    replies: Replies
    signer: Signer | None  # of correlation tokens, with `quotas.strict`
    admin: AdminKeys | None
    audit: Audit
    candidate: Candidate | None
    own: OwnSecrets
    alone: Callable[[], bool]  # whether the shared state is out of reach: see `Replies`
    delegations: Delegations | None  # the tokens of sub-agents
    resources: Resources
    registry: Registry  # of agents
    endings: Endings  # of answers in the background


def _cache_dir(config: Config) -> Path:
    """The directory of compiled patterns: `MESHGATE_CACHE_DIR`, else beside the SQLite state, else var/."""
    if named := os.environ.get("MESHGATE_CACHE_DIR"):
        return Path(named)
    if config.state.url.startswith("sqlite:///"):
        return Path(config.state.url.removeprefix("sqlite:///")).parent
    return Path("var")


def _own(config: Pii) -> recognizers.Own:
    """The custom recognizers. Raises ConfigError."""
    try:
        return recognizers.load(config.recognizers, config.allow, pii_scan.canonical)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _pii_scanner(config: Config, shared: Shared) -> pii_scan.PiiScanner | None:
    """The scanner for personal data. Compilation takes seconds, so an unchanged scanner is reused."""
    if config.pii is None:
        return None
    own = _own(config.pii)
    scores = tuple(sorted(config.pii.scores.items()))
    key = (config.pii.regions, config.pii.score, config.pii.countries, own.digest, scores)
    if key not in shared.scanners:
        regions, score, countries, *_ = key
        shared.scanners = {
            key: pii_scan.PiiScanner(regions, score, _cache_dir(config), countries, own, config.pii.scores)
        }
    scanner: pii_scan.PiiScanner = shared.scanners[key]
    return scanner


def _counts_tokens(config: Config) -> bool:
    """Whether any reservation depends on the number of input tokens."""
    quotas = config.quotas
    return quotas.tokens is not None or quotas.cost_usd is not None or any(limit.tokens for limit in config.limits)


def _loops(config: Config, seal: Seal | None, counted: dict[int, None]) -> Loops:
    """The loop detection. Raises ConfigError if it needs to store digests but there is no key."""
    if seal is None and remembers(config.loops, config.quotas.repeats):
        raise ConfigError(
            "quotas.repeats and loops.prompts store keyed digests in the shared state, but with pii: null there is no "
            "key; write pii: {default: allow, vault_key: ...} to have a key and leave requests unchanged"
        )
    return Loops(config.quotas, config.loops, seal.digest if seal else None, counted)


def _contents(config: Config, shared: Shared) -> Contents | None:
    """The scanner of requests for policies; compiled once, because it does not depend on the configuration."""
    if config.policy is None or not config.policy.content:
        return None
    if shared.contents is None:
        shared.contents = Contents(Injection(_cache_dir(config)).evidence)
    return shared.contents


@dataclass(frozen=True, slots=True)
class _Scanners:
    """The scanners of requests and answers."""

    pii: pii_scan.PiiScanner | None  # None with `pii: null`
    secrets: SecretScanner | None  # of requests
    answers: StreamScanner
    sql: SqlGate
    look: Callable[[str], Sequence[Finding]] | None  # scans the texts of requests; None with `pii: null`

    def plain(self, pii: pii_scan.PiiScanner) -> Callable[[str], Sequence[Finding]]:
        """The search for personal data alone, compiled before the first call."""
        return (self.answers.rules.part(pii.rules) or pii.prepared()).scan


def _look(
    pii: pii_scan.PiiScanner | None, secrets: SecretScanner | None, answers: StreamScanner, cache_dir: Path
) -> Callable[[str], Sequence[Finding]] | None:
    """The function that scans the texts of requests; None with `pii: null`."""
    if pii is None:
        return None
    rules = [*pii.rules, *(secrets.rules if secrets else ())]
    return Beside(
        (answers.rules.part(rules) or RuleSet(rules, pii.score, cache_dir, scores=pii.scores)).scan, cache_dir
    ).scan


def _scanners(config: Config, shared: Shared) -> _Scanners:
    """Compile the scanners. Raises ConfigError."""
    cache, wanted = _cache_dir(config), config.output
    pii = _pii_scanner(config, shared)
    keeps_secrets = config.pii is not None and config.pii.secrets != "allow"
    secrets = SecretScanner(cache) if keeps_secrets or (wanted and wanted.secrets != "allow") else None
    answers = StreamScanner(
        pii if wanted and wanted.pii != "allow" else None,
        secrets if wanted and wanted.secrets != "allow" else None,
        {placeholders.PLACEHOLDER: placeholders.WRITTEN},
        weak={placeholders.LIKE: placeholders.SPELLINGS},
        cache_dir=cache,  # the scanner for personal data, which also has one, may be off
    )
    of_requests = secrets if keeps_secrets else None
    sql = SqlGate(wanted.sql if wanted else None)
    return _Scanners(pii, of_requests, answers, sql, _look(pii, of_requests, answers, cache))


def _gates(wanted: Output | None, sql: SqlGate, own: OwnSecrets) -> list[Gate]:
    """The gates of answers, after the scanner, in this order: URLs are read after invisible characters are removed."""
    gates: list[Gate] = [own] if own else []
    if wanted is not None and wanted.invisible != "allow":
        gates.append(Invisible(wanted.invisible))
    if wanted is not None and wanted.exfiltration_urls == "block":
        gates.append(Exfiltration(wanted.allowed_hosts))
    if wanted is not None and wanted.sql is not None:
        gates.append(sql)
    return gates


@dataclass(frozen=True, slots=True)
class _Parts:
    """What several stages share."""

    scanners: _Scanners
    own: OwnSecrets
    seal: Seal | None
    texts: Texts
    replacer: Replacer | None
    forward: Forward
    limits: RateLimits
    loops: Loops
    inputs: Inputs
    policy: PolicyCheck | None
    taint: Taint
    audit: Audit
    candidate: Candidate | None
    delegations: Delegations | None
    resources: Resources


def build(
    config: Config, shared: Shared, identity: Identity, policies: Policies | None, pool: Pool | None = None
) -> Runtime:
    """Compile a configuration. Raises ConfigError."""
    scanners, seal = _scanners(config, shared), seal_of(config)
    admin = _admin_keys(config, identity)  # before the secrets are collected: the first start creates its file
    own = OwnSecrets(values(config))
    identity.refuse_secrets(own)
    delegations = Delegations(seal) if config.delegations is not None and seal is not None else None
    identity.accept(delegations)
    priced = partial(prices.known, config.providers) if config.prices != "off" else None
    forward = Forward(config.providers, config.models, shared.clients, shared.healths, priced, shared.store)
    look = own.scanning(scanners.look) if scanners.look else None
    # Also without `output.sql`: else the rules of a policy on SQL would limit nothing, and nobody would know.
    inputs = Inputs(forward, SqlFacts(scanners.sql) if config.policy is not None else None)
    replacer = _replacer(config, shared, seal, scanners.pii)
    parts = _Parts(
        scanners=scanners,
        own=own,
        seal=seal,
        texts=Texts(shared.tokens.count, look, counted=_counts_tokens(config), ready=shared.tokens.is_loaded),
        replacer=replacer,
        forward=forward,
        limits=RateLimits(config.limits),
        loops=_loops(config, seal, shared.counted),
        inputs=inputs,
        policy=PolicyCheck(config.policy, policies, inputs) if config.policy and policies else None,
        taint=Taint(own, redacts=replacer is not None),
        audit=Audit(shared.audit_writer, config.audit),
        candidate=_candidate(config, shared),
        delegations=delegations,
        resources=Resources(config.server.public_url, config.jwt, config.tools),
    )
    runtime = _runtime(config, shared, parts, identity, admin, pool)
    shared.healths.follow(config.routing, {name: tuple(provider.keys) for name, provider in config.providers.items()})
    return runtime


def _runtime(
    config: Config, shared: Shared, parts: _Parts, identity: Identity, admin: AdminKeys | None, pool: Pool | None
) -> Runtime:
    """The line, and what is reached from outside."""
    own, pii = parts.own, parts.scanners.pii
    ids = WorkflowIds(parts.scanners.plain(pii), parts.seal.digest) if pii and parts.seal else None
    own_signer, alone = signer(config), partial(getattr, shared.store, "local", False)
    correlation = Correlation(parts.taint, own_signer, ids)
    models = Models(config.models, parts.forward, parts.texts, parts.policy)
    explains = config.output is not None and config.output.explain
    line = _line(config, shared, parts, identity, correlation, models, pool)
    return Runtime(
        config=config,
        identity=identity,
        line=line,
        models=models,
        correlation=correlation,
        replies=Replies(own, parts.limits, alone, parts.resources, reasons_in_text=explains),
        signer=own_signer,
        admin=admin,
        audit=parts.audit,
        candidate=parts.candidate,
        own=own,
        alone=alone,
        delegations=parts.delegations,
        resources=parts.resources,
        registry=_registry(config, shared, parts),
        endings=Endings(_owners(config, shared, parts), parts.forward, line.settle, shared.store, config.server.caps),
    )


def _registry(config: Config, shared: Shared, parts: _Parts) -> Registry:
    assert shared.remotes is not None, "agents are there before the first runtime"
    visible, contents = Visible(parts.policy, parts.audit), _contents(config, shared)
    return Registry(shared.store, config.a2a, shared.remotes, visible, parts.texts, contents, shared.measures)


def _sampled(forward: Forward, quotas: Quotas, model: str, input: int, output: int) -> int:
    """What tokens of a client's model cost at most, in nano-USD, if the configuration has a model of this name."""
    return quotas.most(forward.model(model), input, output) if forward.label(model) else 0


def _line(
    config: Config,
    shared: Shared,
    parts: _Parts,
    identity: Identity,
    correlation: Correlation,
    models: Models,
    pool: Pool | None,
) -> Line:
    """The stages, in the order in which a call passes through them."""
    store, telemetry, failures = shared.store, shared.telemetry, shared.telemetry.failed
    forward, texts, audit, pii = parts.forward, parts.texts, parts.audit, parts.scanners.pii
    names = Names(pool.config, pool, lambda: failures("names"), pii.keep) if pool and pii else None
    spellings = parts.replacer.spellings if parts.replacer is not None else None
    quotas = Quotas(config.quotas)
    charges = Charges(config.tools, config.a2a, parts.loops, config.quotas.repeats, partial(_sampled, forward, quotas))
    background = config.stored.background if config.stored is not None else 0.0
    wait = config.quotas.wait
    reserve = Reserve(store, parts.limits, quotas, parts.loops, forward, charges, parts.policy, wait, background)
    contents = _contents(config, shared)
    memory = Openings(0 if names is not None else MOST)  # names are found by another tier, text by text
    owners = _owners(config, shared, parts)
    restoring = frozenset(name for name, row in config.tools.items() if row.restore)
    recall = None
    if restoring and parts.seal is not None and parts.replacer is not None:
        recall = Recall(restoring, store, parts.seal, parts.replacer)
    assert shared.servers is not None, "tool servers are there before the first runtime"
    subscribers = (audit.ended, telemetry.count, telemetry.log)
    recorder = Recorder(subscribers, failures, {"agent": shared.measures.note})
    shared.servers.credentials.connections = _connections(config, store, parts.seal)
    visible, flow = Visible(parts.policy, audit), Flow(parts.policy, store) if parts.policy else None
    sql = parts.scanners.sql if parts.scanners.sql.configured else None
    suspicion = Suspicion(contents)
    desk = Desk(
        config.tools,
        shared.servers,
        Sessions(parts.seal),
        visible,
        Pins(store, telemetry.hide_tool, suspicion),
        sql,
        shared.healths.states,
        parts.resources,
        texts.count,
        store,
        Values(store, parts.seal, parts.replacer) if parts.seal is not None else None,
        PlainWords(suspicion),
    )
    readable = config.output is not None and config.output.unscannable == "block"
    plain = PlainDesk(
        config.tools,
        shared.clients["direct"],
        visible,
        sql,
        shared.servers.credentials,
        shared.servers.breakers,
        unscannable=not readable,
    )
    assert shared.remotes is not None, "agents are there before the first runtime"
    assert shared.deliveries is not None, "deliveries are there before the first runtime"
    clients = shared.clients
    pushes = Pushes(config.a2a, parts.seal, clients["direct"], clients["public"], shared.deliveries, identity)
    signer = _card_signer(config)
    sober = SoberCards(suspicion)
    agents = AgentDesk(config.a2a, shared.remotes, store, parts.seal, visible, parts.replacer, pushes, sober, signer)
    desks = Desks(desk, plain, agents)
    answers = Answers(_screen(config, parts, failures), parts.own, config.server.caps, spellings, owners)
    return Line(
        identity=identity,
        ingress=Ingress(
            config.server, correlation, owners, parts.taint, models, texts, contents, memory, recall, failures
        ),
        idempotency=Idempotency(config.idempotency, store, parts.seal) if config.idempotency else None,
        reserve=reserve,
        desks=desks,
        redact=Redact(names, parts.replacer, memory),
        authorize=_authorize(shared, parts, reserve, flow),
        durable=Durable(audit, None if getattr(store, "writer", None) is shared.audit_writer else store),
        exchange=Exchange(
            forward, answers, desks, Results(flow, texts, contents), shared.listeners, _cache(config, shared, parts)
        ),
        siblings=shared.siblings,
        settle=Settle(store, parts.loops, texts, forward, charges, recorder, failures, owners),
        failures=failures,
    )


def _owners(config: Config, shared: Shared, parts: _Parts) -> Owners:
    return Owners(config.stored, shared.store, parts.seal)


def _connections(config: Config, store: Store, seal: Seal | None) -> Connections | None:
    """The connections of users; None without a URL to which they come back, or without a key."""
    url = config.server.public_url
    return Connections(store, seal, url) if url and seal is not None else None


def _card_signer(config: Config) -> CardSigner | None:
    """Signs agent cards; None without a key. Raises ConfigError."""
    if config.cards is None:
        return None
    try:
        return CardSigner(config.cards.key, config.cards.kid, config.cards.jku)
    except ValueError as fault:
        raise ConfigError(f"cards.key {fault}") from None


def _cache(config: Config, shared: Shared, parts: _Parts) -> Cache | None:
    """The cache of answers; None if no model has one, and no policy may want one.

    Raises ConfigError without a key to encrypt the answers of a model with.
    """
    name = next((name for name, model in config.models.items() if model.cache is not None), "")
    if name and parts.seal is None:
        raise ConfigError(f"models.{name}.cache needs pii.vault_key: answers are encrypted at rest")
    if parts.seal is None or not (name or config.policy is not None):
        return None
    return Cache(lambda name: parts.forward.model(name).cache, shared.store, parts.seal, for_models=bool(name))


def _authorize(shared: Shared, parts: _Parts, reserve: Reserve, flow: Flow | None) -> Authorize:
    return Authorize(
        flow,
        parts.inputs,
        parts.audit,
        candidate=parts.candidate,
        forward=parts.forward,
        replacer=parts.replacer,
        reserve=reserve,
        sql_gate=parts.scanners.sql,
        workflows=shared.store,
    )


def _screen(config: Config, parts: _Parts, failures: Failures) -> Screen:
    sql = parts.scanners.sql
    allows = parts.replacer.allows if parts.replacer else lambda _: True
    gates = _gates(config.output, sql, parts.own)
    return Screen(config.output, parts.scanners.answers, allows, gates, sql.demanded, failures)


def _replacer(
    config: Config, shared: Shared, seal: Seal | None, scanner: pii_scan.PiiScanner | None
) -> Replacer | None:
    if config.pii is None or seal is None:
        return None
    own_types, ttl = scanner.own_types if scanner is not None else (), config.quotas.ttl
    spellings, failures = Spellings(shared.store, seal, ttl), shared.telemetry.failed
    tools = {name: row.redact for name, row in config.tools.items() if row.redact is not None}
    return Replacer(config.pii, shared.store, seal, pii_scan.canonical, ttl, own_types, spellings, failures, tools)


def _candidate(config: Config, shared: Shared) -> Candidate | None:
    """The candidate's process; a running process with the same settings is reused."""
    wanted = config.policy.candidate if config.policy else None
    running = shared.candidate
    if wanted is None:
        return None
    if running is not None and running.settings == wanted:
        return running
    return Candidate(wanted, shared.telemetry, Audit(shared.audit_writer).differs)


def _admin_keys(config: Config, identity: Identity) -> AdminKeys | None:
    """The keys of the admin API. Raises ConfigError if one of them is also an agent's key."""
    if config.admin is None:
        return None
    keys = AdminKeys(config.admin)
    if any(map(identity.knows, keys.digests)):
        raise ConfigError("admin: a key of the admin API is also an agent's key: use a separate key for the admin API")
    return keys
