"""The questions to PostgreSQL's catalogue, by kind of object.

Each answers `name`, `belongs_to` (a table or '') and one column a facet; null is no facet.
"""
# ruff: noqa: S608 - put together from constants of this module alone

from __future__ import annotations

from typing import Final

_IS_OURS = """
    left({schema}.nspname, 3) <> 'pg_' AND {schema}.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_depend e
        WHERE e.classid = '{catalogue}'::regclass AND e.objid = {object}.oid AND e.deptype = 'e')
"""
# Every role but the one that owns the schema stands under its own name.
_ROLE = """
    CASE {oid}
        WHEN 0 THEN 'PUBLIC'
        WHEN (SELECT v.relowner FROM pg_class v JOIN pg_namespace s ON s.oid = v.relnamespace
              WHERE v.relname = 'alembic_version' AND s.nspname = 'public') THEN 'the owner'
        ELSE pg_get_userbyid({oid})
    END
"""


def _is_ours(catalogue: str, object_: str, schema: str = "n") -> str:
    return _IS_OURS.format(catalogue=catalogue, object=object_, schema=schema)


def _role(oid: str) -> str:
    return _ROLE.format(oid=oid)


def _rights(acl: str) -> str:
    """Who may do what, in one order; MAINTAIN exists since 17 and is nobody's but the owner's."""
    return f"""
        (SELECT string_agg(p.grantee || ': ' || p.rights, '; ' ORDER BY p.grantee)
         FROM (
            SELECT {_role("a.grantee")} AS grantee,
                   string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END,
                              ', ' ORDER BY a.privilege_type) AS rights
            FROM aclexplode({acl}) a WHERE a.privilege_type <> 'MAINTAIN' GROUP BY 1) p)
    """


# Tables whose parts are compared: not partitions, which follow their parent.
_TABLE = f"c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_is_ours('pg_class', 'c')}"

QUERIES: Final[dict[str, str]] = {
    "schema": f"""
        SELECT n.nspname AS name, '' AS belongs_to,
               {_rights("coalesce(n.nspacl, acldefault('n', n.nspowner))")} AS grants
        FROM pg_namespace n WHERE {_is_ours("pg_namespace", "n")}""",
    "extension": """
        SELECT extname AS name, '' AS belongs_to FROM pg_extension WHERE extname <> 'plpgsql'""",
    "enum": f"""
        SELECT format_type(t.oid, NULL) AS name, '' AS belongs_to,
               string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) AS labels
        FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
        JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE {_is_ours("pg_type", "t")} GROUP BY t.oid""",
    "table": f"""
        SELECT c.oid::regclass::text AS name, c.oid::regclass::text AS belongs_to,
               coalesce(pg_get_partkeydef(c.oid), 'none') AS partitioning,
               CASE WHEN c.relrowsecurity THEN 'on' ELSE 'off' END
               || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END AS row_security,
               coalesce((SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o), 'none')
                   AS storage_settings,
               {_role("c.relowner")} AS owner,
               CASE c.relpersistence WHEN 'p' THEN 'permanent' ELSE 'not permanent' END
                   AS persistence,
               coalesce(obj_description(c.oid, 'pg_class'), 'none') AS comment
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_TABLE}""",
    "column": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(a.attname) AS name,
               c.oid::regclass::text AS belongs_to,
               format_type(a.atttypid, a.atttypmod) AS type,
               CASE WHEN a.attnotnull THEN 'not null' ELSE 'null' END AS nullability,
               CASE WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(d.adbin, d.adrelid), 'none')
               END AS default,
               CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE 'none' END
                   AS generation,
               CASE a.attidentity WHEN '' THEN 'none' WHEN 'a' THEN 'always' ELSE 'by default' END
                   AS identity,
               CASE WHEN a.attcollation = t.typcollation THEN 'default'
                    ELSE a.attcollation::regcollation::text END AS collation,
               coalesce(col_description(c.oid, a.attnum), 'none') AS comment,
               coalesce({_rights("a.attacl")}, 'none') AS grants
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {_TABLE}""",
    "index": f"""
        SELECT i.indexrelid::regclass::text AS name, c.oid::regclass::text AS belongs_to,
               pg_get_indexdef(i.indexrelid) AS definition,
               CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END AS state
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_TABLE}""",
    "constraint": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(k.conname) AS name,
               c.oid::regclass::text AS belongs_to,
               regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') AS definition,
               CASE WHEN k.convalidated THEN 'validated' ELSE 'not validated' END AS state
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0 AND {_TABLE}""",
    "policy": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(p.polname) AS name,
               c.oid::regclass::text AS belongs_to,
               CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END AS mode,
               CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
                    WHEN 'w' THEN 'update' ELSE 'delete' END AS command,
               (SELECT string_agg({_role("r")}, ', ' ORDER BY {_role("r")})
                FROM unnest(p.polroles) r) AS roles,
               coalesce(pg_get_expr(p.polqual, p.polrelid), 'none') AS using,
               coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'none') AS with_check
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_TABLE}""",
    "grant": f"""
        SELECT c.oid::regclass::text AS name, c.oid::regclass::text AS belongs_to,
               {_rights("coalesce(c.relacl, acldefault('r', c.relowner))")} AS grants
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
          AND {_is_ours("pg_class", "c")}""",
    "view": f"""
        SELECT c.oid::regclass::text AS name, c.oid::regclass::text AS belongs_to,
               pg_get_viewdef(c.oid) AS definition,
               {_role("c.relowner")} AS owner,
               coalesce((SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o), 'none')
                   AS storage_settings
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('v', 'm') AND {_is_ours("pg_class", "c")}""",
    "sequence": f"""
        SELECT c.oid::regclass::text AS name, '' AS belongs_to,
               format_type(q.seqtypid, NULL) || ' from ' || q.seqstart || ' by ' || q.seqincrement
                   AS definition,
               {_rights("coalesce(c.relacl, acldefault('s', c.relowner))")} AS grants
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_sequence q ON q.seqrelid = c.oid
        WHERE c.relkind = 'S' AND {_is_ours("pg_class", "c")}""",
    "function": f"""
        SELECT f.oid::regprocedure::text AS name, '' AS belongs_to,
               CASE WHEN f.prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(f.oid) END
                   AS definition,
               {_role("f.proowner")} AS owner,
               {_rights("coalesce(f.proacl, acldefault('f', f.proowner))")} AS grants
        FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
        WHERE {_is_ours("pg_proc", "f")}""",
    "trigger": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(g.tgname) AS name,
               c.oid::regclass::text AS belongs_to,
               pg_get_triggerdef(g.oid) AS definition,
               CASE g.tgenabled WHEN 'O' THEN 'enabled' WHEN 'A' THEN 'always enabled'
                    WHEN 'R' THEN 'enabled on replicas' ELSE 'disabled' END AS state
        FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND {_TABLE}""",
}

# What a partition has for itself would never be seen through its parent.
PARTITIONS: Final = f"""
    SELECT c.oid::regclass::text AS name, i.inhparent::regclass::text AS parent,
           pg_get_expr(c.relpartbound, c.oid) AS bounds,
           t.partstrat = 'r' AND t.partnatts = 1
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.inhparent
                       AND a.attnum = t.partattrs[0] AND a.atttypid = 'timestamptz'::regtype)
               AS is_by_time,
           (SELECT string_agg(DISTINCT {_role("a.grantee")}, ', ')
            FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner) AS grantees,
           (SELECT string_agg(p.polname, ', ' ORDER BY p.polname)
            FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
           (SELECT string_agg(g.tgname, ', ' ORDER BY g.tgname) FROM pg_trigger g
            WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0) AS triggers,
           (SELECT string_agg(b.attname, ', ' ORDER BY b.attname)
            FROM pg_attribute a JOIN pg_attribute b USING (attname)
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            LEFT JOIN pg_attrdef e ON e.adrelid = b.attrelid AND e.adnum = b.attnum
            WHERE a.attrelid = i.inhparent AND b.attrelid = c.oid AND a.attnum > 0
              AND (a.attnotnull <> b.attnotnull
                   OR pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM
                      pg_get_expr(e.adbin, e.adrelid))) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_inherits i ON i.inhrelid = c.oid
    JOIN pg_partitioned_table t ON t.partrelid = i.inhparent
    WHERE c.relispartition AND c.relkind IN ('r', 'p') AND {_is_ours("pg_class", "c")}
    ORDER BY 2, 1
"""
