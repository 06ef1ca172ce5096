"""Parts of the questions to PostgreSQL's catalogue that several of them need."""
# ruff: noqa: S608 - put together from constants of this package alone

from __future__ import annotations

from typing import Final

# An object that is neither PostgreSQL's own nor an extension's; `n` is its schema.
_IS_OURS: Final = """
    left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_depend e
        WHERE e.classid = '{catalogue}'::regclass AND e.objid = {object}.oid AND e.deptype = 'e')
"""
# Every role but the one that owns the schema stands under its own name.
OWNER: Final = """
    (SELECT v.relowner FROM pg_class v JOIN pg_namespace s ON s.oid = v.relnamespace
     WHERE v.relname = 'alembic_version' AND s.nspname = 'public')
"""
_ROLE: Final = """
    CASE {oid} WHEN 0 THEN 'PUBLIC' WHEN {owner} THEN 'the owner' ELSE pg_get_userbyid({oid}) END
"""
# MAINTAIN exists since 17, and owners have it unasked: a dump of an older server does not name it.
_RIGHTS: Final = """
    SELECT a.grantee AS grantee_id, {grantee} AS grantee,
           string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END,
                      ', ' ORDER BY a.privilege_type) AS rights
    FROM aclexplode({acl}) a
    WHERE a.privilege_type <> 'MAINTAIN' OR a.grantee <> {owner}
    GROUP BY a.grantee
"""
TABLE_IS_OURS: Final = _IS_OURS.format(catalogue="pg_class", object="c")
# Tables whose parts are compared: not partitions, which follow their parent.
IS_TABLE: Final = f"c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND {TABLE_IS_OURS}"
TABLE_NAME: Final = "c.oid::regclass::text"


def is_ours(catalogue: str, object_: str) -> str:
    """A condition on a row of `catalogue`, whose schema is `n`."""
    return _IS_OURS.format(catalogue=catalogue, object=object_)


def role(oid: str) -> str:
    """The name of a role."""
    return _ROLE.format(oid=oid, owner=OWNER)


def list_rights(acl: str, owner: str) -> str:
    """Who may do what, a row a grantee; `*` marks what the grantee may pass on."""
    return _RIGHTS.format(acl=acl, owner=owner, grantee=role("a.grantee"))


def settings(options: str) -> str:
    """Settings of an object in one order, or 'none'."""
    return f"coalesce((SELECT string_agg(o, ', ' ORDER BY o) FROM unnest({options}) o), 'none')"


def tablespace(oid: str) -> str:
    """Where an object lies, or 'default'."""
    return f"coalesce((SELECT s.spcname FROM pg_tablespace s WHERE s.oid = {oid}), 'default')"


def statistics(target: str) -> str:
    """How many values are counted; no number of its own is NULL since 17, and -1 before."""
    return f"coalesce(nullif({target}, -1)::text, 'default')"
