"""Questions about tables and what belongs to them, by kind of object.

Each answers `name`, `part_of` (the table) and one column a facet; null is no facet.
"""
# ruff: noqa: S608 - put together from constants of this package alone

from __future__ import annotations

from typing import Final

from optiinfra.database.catalogue.phrases import (
    IS_TABLE,
    TABLE_IS_OURS,
    TABLE_NAME,
    role,
    settings,
    statistics,
    tablespace,
)

_FROM_TABLE: Final = "JOIN pg_namespace n ON n.oid = c.relnamespace"
PERSISTENCE: Final = (
    "CASE {0} WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END"
)
REPLICA_IDENTITY: Final = """
    CASE {0} WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing'
    ELSE 'index' END"""
# SQL of each facet of a column `a` of type `t`, with its default `d`.
COLUMN_FACETS: Final = {
    "nullability": """
        CASE WHEN NOT {a}.attnotnull THEN 'null'
             WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = {a}.attrelid
                          AND k.contype = 'n' AND k.conkey[1] = {a}.attnum AND NOT k.convalidated)
             THEN 'not null, not validated' ELSE 'not null' END""",
    "default": """
        CASE WHEN {a}.attgenerated = ''
             THEN coalesce(pg_get_expr({d}.adbin, {d}.adrelid), 'none') END""",
    "generation": """
        CASE {a}.attgenerated WHEN '' THEN 'none' WHEN 's' THEN 'stored: ' ELSE 'virtual: ' END
        || CASE WHEN {a}.attgenerated <> '' THEN pg_get_expr({d}.adbin, {d}.adrelid) ELSE '' END""",
    "identity": """
        CASE {a}.attidentity WHEN '' THEN 'none' WHEN 'a' THEN 'always' ELSE 'by default' END""",
    "collation": """
        CASE WHEN {a}.attcollation = {t}.typcollation THEN 'default'
             ELSE {a}.attcollation::regcollation::text END""",
    "storage": """
        CASE WHEN {a}.attstorage = {t}.typstorage THEN 'default'
             ELSE CASE {a}.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external'
                  WHEN 'm' THEN 'main' ELSE 'extended' END END
        || CASE {a}.attcompression WHEN 'p' THEN ', pglz' WHEN 'l' THEN ', lz4' ELSE '' END""",
    "statistics": statistics("{a}.attstattarget"),
    "settings": settings("{a}.attoptions"),
    "comment": "coalesce(col_description({a}.attrelid, {a}.attnum), 'none')",
}  # fmt: skip


def column_facets(*, a: str, t: str, d: str) -> dict[str, str]:
    """SQL of each facet, for these names of attribute, type and default."""
    return {facet: text.format(a=a, t=t, d=d) for facet, text in COLUMN_FACETS.items()}


_COLUMNS: Final = ",\n".join(
    f"{text} AS {facet}" for facet, text in column_facets(a="a", t="t", d="d").items()
)

TABLE_QUERIES: Final[dict[str, str]] = {
    "table": f"""
        SELECT {TABLE_NAME} AS name, {TABLE_NAME} AS part_of,
               coalesce(pg_get_partkeydef(c.oid), 'none') AS partitioning,
               coalesce((SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY 1)
                         FROM pg_inherits i WHERE i.inhrelid = c.oid), 'none') AS inheritance,
               CASE WHEN c.relrowsecurity THEN 'on' ELSE 'off' END
               || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END AS row_security,
               {settings("c.reloptions")} AS storage_settings,
               {tablespace("c.reltablespace")} AS tablespace,
               coalesce((SELECT m.amname FROM pg_am m WHERE m.oid = c.relam), 'none')
                   AS access_method,
               {role("c.relowner")} AS owner,
               {PERSISTENCE.format("c.relpersistence")} AS persistence,
               {REPLICA_IDENTITY.format("c.relreplident")} AS replica_identity,
               coalesce(obj_description(c.oid, 'pg_class'), 'none') AS comment
        FROM pg_class c {_FROM_TABLE} WHERE {IS_TABLE}""",
    "column": f"""
        SELECT {TABLE_NAME} || '.' || quote_ident(a.attname) AS name, {TABLE_NAME} AS part_of,
               format_type(a.atttypid, a.atttypmod) AS type, {_COLUMNS}
        FROM pg_class c {_FROM_TABLE}
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {IS_TABLE}""",
    "index": f"""
        SELECT i.indexrelid::regclass::text AS name, {TABLE_NAME} AS part_of,
               pg_get_indexdef(i.indexrelid) AS definition,
               CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END AS state,
               CASE WHEN i.indisclustered THEN 'yes' ELSE 'no' END AS clusters_its_table,
               {tablespace("x.reltablespace")} AS tablespace
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_class x ON x.oid = i.indexrelid {_FROM_TABLE} WHERE {IS_TABLE}""",
    # A foreign key holds only while its triggers, on both tables, are on.
    "constraint": f"""
        SELECT {TABLE_NAME} || '.' || quote_ident(k.conname) AS name, {TABLE_NAME} AS part_of,
               regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') AS definition,
               CASE WHEN k.convalidated THEN 'validated' ELSE 'not validated' END AS state,
               coalesce((SELECT 'off on ' || string_agg(DISTINCT g.tgrelid::regclass::text, ', ')
                         FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgisinternal
                         AND g.tgenabled <> 'O'), 'on') AS enforcement
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid {_FROM_TABLE}
        WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0 AND {IS_TABLE}""",
    "policy": f"""
        SELECT {TABLE_NAME} || '.' || quote_ident(p.polname) AS name, {TABLE_NAME} AS part_of,
               CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END AS mode,
               CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
                    WHEN 'w' THEN 'update' ELSE 'delete' END AS command,
               (SELECT string_agg({role("r")}, ', ' ORDER BY {role("r")})
                FROM unnest(p.polroles) r) AS roles,
               coalesce(pg_get_expr(p.polqual, p.polrelid), 'none') AS using,
               coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'none') AS with_check
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid {_FROM_TABLE} WHERE {IS_TABLE}""",
    "trigger": f"""
        SELECT {TABLE_NAME} || '.' || quote_ident(g.tgname) AS name, {TABLE_NAME} AS part_of,
               pg_get_triggerdef(g.oid) AS definition,
               CASE g.tgenabled WHEN 'O' THEN 'enabled' WHEN 'A' THEN 'always enabled'
                    WHEN 'R' THEN 'enabled on replicas' ELSE 'disabled' END AS state
        FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid {_FROM_TABLE}
        WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND NOT c.relispartition
          AND {TABLE_IS_OURS}""",
    "rule": f"""
        SELECT {TABLE_NAME} || '.' || quote_ident(r.rulename) AS name, {TABLE_NAME} AS part_of,
               pg_get_ruledef(r.oid) AS definition,
               CASE r.ev_enabled WHEN 'O' THEN 'enabled' WHEN 'A' THEN 'always enabled'
                    WHEN 'R' THEN 'enabled on replicas' ELSE 'disabled' END AS state
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class {_FROM_TABLE}
        WHERE r.rulename <> '_RETURN' AND NOT c.relispartition AND {TABLE_IS_OURS}""",
}
