"""What belongs to the server and not to one database, against what this program relies on.

Row-level security is worth what its roles are: a role that bypasses it, that is a member of
another, or whose sessions begin with a tenant, sees what it should not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from optiinfra.database.catalogue import OUR_ROLES, Catalogue
from optiinfra.database.verification.difference import NONE, Difference, make_existence

PASSING: Final = frozenset({"optiinfra_ingest", "optiinfra_backup"})  # row-level security
MEMBER_OF: Final = {"optiinfra_backup": "pg_read_all_data"}
# Settings that change how fast something is or what is logged, and never what is seen or done.
HARMLESS: Final = (
    "Query Tuning", "Resource Usage", "Reporting and Logging", "Statistics", "Autovacuum",
    "Vacuuming", "Client Connection Defaults / Locale and Formatting",
)  # fmt: skip
HARMLESS_NAMES: Final = frozenset({
    "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
    "idle_session_timeout", "transaction_timeout", "deadlock_timeout", "application_name",
    "default_toast_compression", "wal_compression", "tcp_keepalives_idle",
    "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout",
    "client_connection_check_interval", "jit",
})  # fmt: skip


def check_server(expected: Catalogue, live: Catalogue) -> Iterator[Difference]:
    """Roles that the schema uses, settings that a session would begin with, rights beside it."""
    grants = " ".join(name for kind, name in expected.items if kind == "grant")
    for role in OUR_ROLES:
        if role in grants:
            yield from _check_role(role, live)
    for (name, place), (value, category) in sorted(live.settings.items()):
        if name not in HARMLESS_NAMES and not category.startswith(HARMLESS):
            yield Difference("setting", f"{name} of {place}", "value", NONE, value)
    for name, rights in sorted(live.server_rights.items()):
        yield Difference("grant", name, "rights", NONE, rights)


def _check_role(role: str, live: Catalogue) -> Iterator[Difference]:
    found = live.roles.get(role)
    if found is None:
        yield make_existence("role", role, is_expected=True)
        return
    wanted = {
        "superuser": "no",
        "login": "no",
        "creation_of_roles": "no",
        "creation_of_databases": "no",
        "replication": "no",
        "row_security": "passed by" if role in PASSING else "obeyed",
        "membership": MEMBER_OF.get(role, NONE),
        "use_by_the_owner": "yes",
    }
    for facet, value in wanted.items():
        if found[facet] != value:
            yield Difference("role", role, facet, value, found[facet])
