"""What is wrong around an application, and how to mend it: the sentences of `twofold doctor`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from twofold.messages import utc
from twofold.ports import Checkpoint, EventLog
from twofold.settings import Settings, masked, variable_of
from twofold.stores.reports import ServerReport, StoreReport
from twofold.streams import Position

__all__ = [
    "Finding",
    "findings_about_checkpoints",
    "findings_about_clock",
    "findings_about_server",
    "findings_about_settings",
    "findings_about_store",
    "findings_about_versions",
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `status` is "ok", "warn" or "fail"; `mend` says what to do, "" when ok."""

    status: str
    subject: str
    text: str
    mend: str = ""


_LOW_DISK_BYTES = 1_000_000_000
_FULL_DISK_BYTES = 50_000_000
_SAFE_SQLITE = (3, 51, 3)
_CLOCK_MAY_DIFFER_S = 5.0
_LONG_TRANSACTION_S = 60.0
_OLDEST_POSTGRES = 15
_MUCH_USED = 0.8
_EXPECTED = {
    "fsync": ("off", "a power cut may lose acknowledged events and damage the database"),
    "full_page_writes": ("off", "a power cut may damage the database"),
    "synchronous_commit": ("off", "a crash of the server may lose events that were acknowledged"),
    "autovacuum": ("off", "tables of read models grow and slow down"),
}
"""Settings of a server that break a promise, with the value that does."""


def findings_about_settings(settings: Settings) -> list[Finding]:
    """The settings that are not at their defaults, without secrets."""
    defaults = Settings()
    texts = [
        f"{variable_of(each.name)}={masked(str(getattr(settings, each.name)))}"
        for each in dataclasses.fields(Settings)
        if getattr(settings, each.name) != getattr(defaults, each.name)
    ]
    return [_ok("settings", text) for text in texts or ["all at their defaults"]]


def findings_about_versions(twofold: str, python: str, sqlite: str) -> list[Finding]:
    """`sqlite` is "" where no store is on it."""
    found = [_ok("versions", f"Twofold {twofold}, Python {python}{f', SQLite {sqlite}' if sqlite else ''}")]
    if sqlite and tuple(int(part) for part in re.findall(r"\d+", sqlite)) < _SAFE_SQLITE:
        text = "before 3.51.3 SQLite may lose pages under two writers (the WAL-reset bug): covered by the single writer"
        found.append(_ok("versions", text))
    return found


def findings_about_store(report: StoreReport) -> list[Finding]:
    """What is well and what is not with a store, each with its cure."""
    found = [_database(report)] if report.made_by_hand else [_file(report), _disk(report)]
    if report.schema is not None:
        found.append(_schema(report))
    if report.schema is not None and not report.made_by_hand:
        found.append(_whole(report))
    if report.gap:
        found.append(_fail(report.label, report.gap, "restore the event log from a backup"))
    if report.holder is not None:
        where = f" at {report.holder['url']}" if "url" in report.holder else ""
        found.append(_ok(report.label, f"process {report.holder.get('pid', 'unknown')} writes it{where}"))
    return found


def findings_about_server(report: ServerReport, postgres_tls: str) -> list[Finding]:
    """What a PostgreSQL server is and how it is set, as far as it matters for what Twofold promises."""
    facts, found = report.facts, [_release(report), _room(report), _tls(report, postgres_tls)]
    if report.could:
        text = f"the user {facts.user} could change events ({', '.join(report.could)}): services refuse such a user"
        found.append(
            _warn(report.label, text, 'give each service a user of its own: see "twofold schema roles --help"')
        )
    if facts.standby:
        cure = "name the primary, or target_session_attrs=read-write with all hosts"
        found.append(_fail(report.label, "the server is a standby, which takes no writes", cure))
    if facts.encoding != "UTF8":
        found.append(_fail(report.label, f"the database's encoding is {facts.encoding}", "make one with UTF8"))
    for name, (value, harm) in _EXPECTED.items():
        if getattr(facts, name) == value:
            found.append(_warn(report.label, f"{name} is {value}: {harm}", f"set {name} = on"))
    if facts.idle_transaction_s > _LONG_TRANSACTION_S:
        text = f"a transaction has been open and idle for {facts.idle_transaction_s:.0f} seconds: nothing is vacuumed"
        found.append(_warn(report.label, text, "end its session; set idle_in_transaction_session_timeout for its user"))
    if abs(report.ahead_s) > _CLOCK_MAY_DIFFER_S:
        text = f"the server's clock is {report.ahead_s:+.0f} seconds from this machine's"
        found.append(_warn(report.label, text, "set both clocks by NTP; leases go by the server's alone"))
    return found


def findings_about_checkpoints(
    names: Sequence[str], checkpoints: Mapping[str, Checkpoint], head: int | None
) -> list[Finding]:
    """How far the read models are, and whether they belong to this event log: none may know more than it.

    `head` is the log's end, None where it can't be seen.
    """
    found: list[Finding] = []
    of = "" if head is None else f" of {head}"
    for name in names:
        checkpoint = checkpoints.get(name)
        if checkpoint is None:
            found.append(_ok(name, "not folded yet; a service will"))
        elif head is not None and max(checkpoint.positions) > head:
            text = f"stands at position {max(checkpoint.positions)}, the event log ends at {head}"
            cure = f'they belong to different histories: restore the log, or run "twofold read-models rebuild {name}"'
            found.append(_fail(name, text, cure))
        elif checkpoint.paused:
            text = f"paused at position {checkpoint.position}{of}"
            found.append(_warn(name, text, f'run "twofold read-models resume {name}"'))
        elif checkpoint.error:
            text = f"failed at position {checkpoint.position}{of}: {checkpoint.error}"
            found.append(_warn(name, text, "mend its handler and deploy; nothing was skipped"))
        else:
            found.append(_ok(name, f"at position {checkpoint.position}{of}"))
    return found


async def findings_about_clock(log: EventLog, now: datetime) -> list[Finding]:
    """Whether this machine's clock stands behind what the log has recorded."""
    head = await log.head()
    page = await log.read(Position(head - 1), 1) if head else ()
    ahead_s = (utc(page[0].recorded_at_us) - now).total_seconds() if page else 0.0
    if ahead_s > _CLOCK_MAY_DIFFER_S:
        text = f"the last event was recorded {ahead_s:.0f} seconds after now ({now.isoformat()})"
        return [_warn("clock", text, "set the machine's clock by NTP; order does not depend on it, recorded times do")]
    return [_ok("clock", now.isoformat(timespec="seconds"))]


def _ok(subject: str, text: str) -> Finding:
    return Finding(status="ok", subject=subject, text=text)


def _warn(subject: str, text: str, mend: str) -> Finding:
    return Finding(status="warn", subject=subject, text=text, mend=mend)


def _fail(subject: str, text: str, mend: str) -> Finding:
    return Finding(status="fail", subject=subject, text=text, mend=mend)


def _database(report: StoreReport) -> Finding:
    if report.error:
        return _fail(
            report.label,
            report.error.removeprefix(f"{report.label} "),
            "mend what it says; nothing else about it was looked at",
        )
    if not report.exists:
        return _fail(report.label, f"{report.place} is not there", 'run "twofold schema migrate"')
    return _ok(report.label, f"{report.place}, {report.size_bytes:,} bytes")


def _release(report: ServerReport) -> Finding:
    text = f"PostgreSQL {report.facts.version}{', behind a pooler' if report.pooled else ''}, as {report.facts.user}"
    if report.facts.version_number < _OLDEST_POSTGRES * 10_000:
        return _fail(report.label, text, f"upgrade it: releases from {_OLDEST_POSTGRES} on are supported")
    return _ok(report.label, text)


def _room(report: ServerReport) -> Finding:
    used, most = report.facts.connections, report.facts.most_connections
    text = f"{used} of {most} connections are in use"
    if used > most * _MUCH_USED:
        return _warn(report.label, text, "raise max_connections, put PgBouncer before it, or run fewer services")
    return _ok(report.label, text)


def _tls(report: ServerReport, postgres_tls: str) -> Finding:
    text = f"the connection is under {report.facts.tls}" if report.facts.tls else "the connection is not encrypted"
    if postgres_tls != "verify-full":
        text = f"{text}; TWOFOLD_POSTGRES_TLS={postgres_tls} does not check whose server it is"
        return _warn(report.label, text, "give the server a certificate, and leave it at verify-full")
    return _ok(report.label, text)


def _file(report: StoreReport) -> Finding:
    if report.error:
        return _fail(report.label, report.error, "restore it from a backup, or name another file")
    if not report.writable:
        text = f"{report.place} can't be written"
        return _fail(report.label, text, "make the file and its folder writable for this user")
    if not report.exists:
        return _ok(report.label, f"{report.place} is not there yet; a service makes it")
    return _ok(report.label, f"{report.place}, {report.size_bytes:,} bytes")


def _disk(report: StoreReport) -> Finding:
    text, mend = f"{report.free_bytes:,} bytes free on its disk", "make room on the disk, or move the store"
    if report.free_bytes < _FULL_DISK_BYTES:
        return _fail(report.label, text, mend)
    if report.free_bytes < _LOW_DISK_BYTES:
        return _warn(report.label, text, mend)
    return _ok(report.label, text)


def _schema(report: StoreReport) -> Finding:
    text, found = f"schema {report.schema}: {report.state}", report.schema or 0
    if found == report.known_schema:
        return _ok(report.label, text)
    if found < report.known_schema and report.made_by_hand:
        return _fail(report.label, text, 'run "twofold schema migrate"')
    if found < report.known_schema:
        return _warn(report.label, text, 'run "twofold schema migrate"')
    return _fail(report.label, text, "run the release that wrote it, or a newer one")


def _whole(report: StoreReport) -> Finding:
    if not report.damage:
        return _ok(report.label, "its check finds no damage")
    text = f"damaged: {'; '.join(report.damage)}"
    return _fail(report.label, text, "stop the service and restore the file from a backup")
