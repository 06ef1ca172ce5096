"""Questions about what belongs to no table, by kind of object, and about rights on everything.

Each answers `name`, `part_of` (a table or '') and one column a facet; null is no facet. Kinds
that the migrations make nothing of are asked for all the same: what somebody else made is a
difference.
"""
# ruff: noqa: S608 - put together from constants of this package alone

from __future__ import annotations

from typing import Final

from optiinfra.database.catalogue.phrases import (
    TABLE_IS_OURS,
    TABLE_NAME,
    is_ours,
    list_rights,
    role,
    settings,
    statistics,
)

FIRST_OID: Final = 16384  # below are PostgreSQL's own objects
_SCHEMA_OF: Final = "JOIN pg_namespace n ON n.oid = {0}"


def _rights_on(from_: str, *, word: str = "", name: str, acl: str, kind: str, owner: str) -> str:
    rights = list_rights(f"coalesce({acl}, acldefault('{kind}', {owner}))", owner)
    return f"""
        SELECT 'on {word}' || {name} || ' to ' || p.grantee AS name, {name} AS part_of, p.rights
        FROM {from_} CROSS JOIN LATERAL ({rights}) p
        """


_TABLE: Final = f"pg_class c {_SCHEMA_OF.format('c.relnamespace')}"
_GRANTS: Final = (
    _rights_on(_TABLE, name=TABLE_NAME, acl="c.relacl", kind="r", owner="c.relowner")
    + f"WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND {TABLE_IS_OURS}",
    _rights_on(
        _TABLE, word="sequence ", name=TABLE_NAME, acl="c.relacl", kind="s", owner="c.relowner"
    )
    + f"WHERE c.relkind = 'S' AND {TABLE_IS_OURS}",
    f"""SELECT 'on ' || {TABLE_NAME} || '.' || quote_ident(a.attname) || ' to ' || p.grantee,
               {TABLE_NAME}, p.rights
        FROM {_TABLE}
        JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
        CROSS JOIN LATERAL ({list_rights("a.attacl", "c.relowner")}) p
        WHERE a.attacl IS NOT NULL AND NOT c.relispartition AND {TABLE_IS_OURS}""",
    _rights_on(
        f"pg_proc f {_SCHEMA_OF.format('f.pronamespace')}",
        word="function ",
        name="f.oid::regprocedure::text",
        acl="f.proacl",
        kind="f",
        owner="f.proowner",
    )
    + f"WHERE {is_ours('pg_proc', 'f')}",
    _rights_on(
        "pg_namespace n",
        word="schema ",
        name="n.nspname",
        acl="n.nspacl",
        kind="n",
        owner="n.nspowner",
    )
    + f"WHERE {is_ours('pg_namespace', 'n')}",
    _rights_on(
        f"pg_type t {_SCHEMA_OF.format('t.typnamespace')}",
        word="type ",
        name="format_type(t.oid, NULL)",
        acl="t.typacl",
        kind="T",
        owner="t.typowner",
    )
    + f"WHERE t.typtype IN ('e', 'd') AND {is_ours('pg_type', 't')}",
    f"""SELECT 'by default on '
               || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                  WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas'
                  ELSE 'large objects' END
               || coalesce(' of schema ' || d.defaclnamespace::regnamespace::text, '')
               || ' of ' || {role("d.defaclrole")} || ' to ' || p.grantee, '', p.rights
        FROM (SELECT oid, defaclrole, nullif(defaclnamespace, 0) AS defaclnamespace,
                     defaclobjtype, defaclacl FROM pg_default_acl) d
        CROSS JOIN LATERAL ({list_rights("d.defaclacl", "0::oid")}) p""",
)

_IDENTITY: Final = " UNION ALL ".join(
    f"SELECT '{catalogue}'::regclass AS classid, oid FROM {catalogue} WHERE oid >= {FIRST_OID}"
    for catalogue in (
        "pg_operator", "pg_opclass", "pg_opfamily", "pg_cast", "pg_collation", "pg_conversion",
        "pg_language", "pg_am", "pg_transform", "pg_ts_config", "pg_ts_dict", "pg_ts_parser",
        "pg_ts_template", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_subscription",
    )
)  # fmt: skip

OBJECT_QUERIES: Final[dict[str, str]] = {
    "schema": f"""
        SELECT n.nspname AS name, '' AS part_of, {role("n.nspowner")} AS owner
        FROM pg_namespace n WHERE {is_ours("pg_namespace", "n")}""",
    "extension": """
        SELECT extname AS name, '' AS part_of FROM pg_extension WHERE extname <> 'plpgsql'""",
    "enum": f"""
        SELECT format_type(t.oid, NULL) AS name, '' AS part_of,
               string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) AS labels,
               {role("t.typowner")} AS owner
        FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
        {_SCHEMA_OF.format("t.typnamespace")}
        WHERE {is_ours("pg_type", "t")} GROUP BY t.oid""",
    "type": f"""
        SELECT format_type(t.oid, NULL) AS name, '' AS part_of,
               CASE t.typtype
                   WHEN 'd' THEN 'domain of ' || format_type(t.typbasetype, t.typtypmod)
                       || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
                       || coalesce(' default ' || t.typdefault, '')
                       || coalesce((SELECT string_agg(' ' || pg_get_constraintdef(k.oid), ''
                                                      ORDER BY k.conname)
                                    FROM pg_constraint k
                                    WHERE k.contypid = t.oid AND k.contype = 'c'), '')
                   WHEN 'c' THEN 'composite of '
                       || (SELECT string_agg(a.attname || ' '
                                             || format_type(a.atttypid, a.atttypmod),
                                             ', ' ORDER BY a.attnum)
                           FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
                           AND NOT a.attisdropped)
                   WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' ELSE 'base' END AS definition,
               {role("t.typowner")} AS owner
        FROM pg_type t {_SCHEMA_OF.format("t.typnamespace")}
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typtype <> 'e' AND (t.typrelid = 0 OR c.relkind = 'c')
          AND NOT EXISTS (SELECT FROM pg_type m WHERE m.typarray = t.oid)
          AND {is_ours("pg_type", "t")}""",
    "view": f"""
        SELECT {TABLE_NAME} AS name, {TABLE_NAME} AS part_of,
               pg_get_viewdef(c.oid) AS definition, {role("c.relowner")} AS owner,
               CASE c.relkind WHEN 'm' THEN 'yes' ELSE 'no' END AS is_materialized,
               {settings("c.reloptions")} AS storage_settings
        FROM {_TABLE} WHERE c.relkind IN ('v', 'm') AND {TABLE_IS_OURS}""",
    "sequence": f"""
        SELECT {TABLE_NAME} AS name, '' AS part_of,
               concat_ws(' ', format_type(q.seqtypid, NULL), 'from', q.seqstart, 'by',
                         q.seqincrement, 'within', q.seqmin, 'to', q.seqmax,
                         CASE WHEN q.seqcycle THEN 'again and again' END) AS definition,
               q.seqcache || ' at once' AS cache,
               coalesce((SELECT d.refobjid::regclass || '.' || a.attname
                         FROM pg_depend d JOIN pg_attribute a
                           ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                           AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')),
                        'nothing') AS feeds,
               {role("c.relowner")} AS owner
        FROM {_TABLE} JOIN pg_sequence q ON q.seqrelid = c.oid
        WHERE c.relkind = 'S' AND {TABLE_IS_OURS}""",
    "function": f"""
        SELECT f.oid::regprocedure::text AS name, '' AS part_of,
               CASE WHEN f.prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(f.oid) END
                   AS definition,
               {role("f.proowner")} AS owner
        FROM pg_proc f {_SCHEMA_OF.format("f.pronamespace")} WHERE {is_ours("pg_proc", "f")}""",
    "statistics": f"""
        SELECT quote_ident(s.stxname) AS name, s.stxrelid::regclass::text AS part_of,
               pg_get_statisticsobjdef(s.oid) AS definition,
               {statistics("s.stxstattarget")} AS target
        FROM pg_statistic_ext s""",
    "event trigger": """
        SELECT quote_ident(e.evtname) AS name, '' AS part_of,
               concat_ws(' ', e.evtevent, array_to_string(e.evttags, ', '), 'runs',
                         e.evtfoid::regprocedure) AS definition,
               CASE e.evtenabled WHEN 'D' THEN 'disabled' ELSE 'enabled' END AS state
        FROM pg_event_trigger e
        WHERE NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass
            AND d.objid = e.oid AND d.deptype = 'e')""",
    "publication": """
        SELECT quote_ident(p.pubname) AS name, '' AS part_of,
               CASE WHEN p.puballtables THEN 'all tables' ELSE coalesce(
                   (SELECT string_agg(r.prrelid::regclass::text, ', ' ORDER BY 1)
                    FROM pg_publication_rel r WHERE r.prpubid = p.oid), 'no table') END AS publishes
        FROM pg_publication p""",
    # Operators, casts, servers and the like, which the migrations have no use for.
    "object": f"""
        SELECT i.type || ' ' || i.identity AS name, '' AS part_of
        FROM ({_IDENTITY}) o
        CROSS JOIN LATERAL pg_identify_object(o.classid, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.oid
                          AND d.deptype = 'e')
          AND (o.classid <> 'pg_subscription'::regclass OR EXISTS (
               SELECT FROM pg_subscription s JOIN pg_database b ON b.oid = s.subdbid
               WHERE s.oid = o.oid AND b.datname = current_database()))""",
    "grant": "\nUNION ALL\n".join(_GRANTS),
}
