"""Questions about partitions: which there are, and what each has that its parent did not give it.

Each question of `FACETS` answers a row for each difference: `name` of the partition, `facet`,
`expected` and `found`. A partition has no rights, policies, triggers, checks and indexes of its
own, since whoever asks the parent would not see them.
"""
# ruff: noqa: S608 - put together from constants of this package alone

from __future__ import annotations

from typing import Final

from optiinfra.database.catalogue.phrases import (
    TABLE_IS_OURS,
    list_rights,
    role,
    settings,
    tablespace,
)
from optiinfra.database.catalogue.tables import PERSISTENCE, REPLICA_IDENTITY, column_facets

PARTITIONS: Final = f"""
    SELECT c.oid::regclass::text AS name, i.inhparent::regclass::text AS parent,
           pg_get_expr(c.relpartbound, c.oid) AS bounds,
           t.partstrat = 'r' AND t.partnatts = 1
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.inhparent
                       AND a.attnum = t.partattrs[0] AND a.atttypid = 'timestamptz'::regtype)
               AS is_by_time
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_inherits i ON i.inhrelid = c.oid
    JOIN pg_partitioned_table t ON t.partrelid = i.inhparent
    WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f') AND {TABLE_IS_OURS}
    ORDER BY 2, 1
"""
# The partition `c` and its parent `p`; an index of a partition is a partition too, of another kind.
_PAIR: Final = f"""
    (SELECT c.*, c.oid::regclass::text AS name, i.inhparent
     FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
     JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f') AND {TABLE_IS_OURS}) c
    JOIN pg_class p ON p.oid = c.inhparent
"""
_CLASS: Final = {
    "owner": (role("p.relowner"), role("c.relowner")),
    "persistence": ("'permanent'", PERSISTENCE.format("c.relpersistence")),
    "row_security": (
        "'off'",
        "CASE WHEN c.relrowsecurity OR c.relforcerowsecurity THEN 'on' ELSE 'off' END",
    ),
    "storage_settings": ("'none'", settings("c.reloptions")),
    "tablespace": (tablespace("p.reltablespace"), tablespace("c.reltablespace")),
    "access_method": (
        "coalesce((SELECT m.amname FROM pg_am m WHERE m.oid = p.relam), 'heap')",
        "coalesce((SELECT m.amname FROM pg_am m WHERE m.oid = c.relam), 'none')",
    ),
    "replica_identity": (
        REPLICA_IDENTITY.format("p.relreplident"),
        REPLICA_IDENTITY.format("c.relreplident"),
    ),
    "partitioning": ("'none'", "coalesce(pg_get_partkeydef(c.oid), 'none')"),
    "comment": ("'none'", "coalesce(obj_description(c.oid, 'pg_class'), 'none')"),
}
_OF_PARENT: Final = column_facets(a="a", t="t", d="d")
_OF_PARTITION: Final = column_facets(a="b", t="u", d="e")


def _list(values: dict[str, tuple[str, str]]) -> str:
    rows = (
        f"('{facet}', ({expected})::text, ({found})::text)"
        for facet, (expected, found) in values.items()
    )
    return ",\n".join(rows)


_QUESTIONS: Final = {
    "table": f"""
        SELECT c.name, f.facet, f.expected, f.found
        FROM {_PAIR} CROSS JOIN LATERAL (VALUES {_list(_CLASS)}) f (facet, expected, found)
        WHERE f.expected IS DISTINCT FROM f.found""",
    "column": f"""
        SELECT c.name, f.facet || ' of column ' || a.attname AS facet, f.expected, f.found
        FROM {_PAIR}
        JOIN pg_attribute a ON a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_attribute b ON b.attrelid = c.oid AND b.attname = a.attname
        JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type u ON u.oid = b.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_attrdef e ON e.adrelid = b.attrelid AND e.adnum = b.attnum
        CROSS JOIN LATERAL (VALUES {
        _list({facet: (_OF_PARENT[facet], _OF_PARTITION[facet]) for facet in _OF_PARENT})
    }) f (facet, expected, found)
        WHERE f.expected IS DISTINCT FROM f.found""",
    "constraint": """
        SELECT c.name, f.facet, f.expected, f.found
        FROM {pair} JOIN pg_constraint k ON k.conrelid = c.oid
            AND k.contype IN ('p', 'u', 'f', 'c', 'x')
        LEFT JOIN pg_constraint o ON o.oid = k.conparentid
            OR o.conrelid = p.oid AND o.conname = k.conname AND k.contype = 'c'
        CROSS JOIN LATERAL (
            SELECT 'own constraint ' || k.conname AS facet, 'none' AS expected,
                   pg_get_constraintdef(k.oid) AS found
            WHERE CASE k.contype WHEN 'c' THEN k.coninhcount = 0 ELSE k.conparentid = 0 END
            UNION ALL
            SELECT 'constraint ' || k.conname, 'validated', 'not validated'
            WHERE o.convalidated AND NOT k.convalidated
        ) f""",
    "index": f"""
        SELECT c.name, f.facet, f.expected, f.found
        FROM {_PAIR} JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
        LEFT JOIN pg_inherits h ON h.inhrelid = x.oid LEFT JOIN pg_class y ON y.oid = h.inhparent
        CROSS JOIN LATERAL (
            SELECT 'own index ' || x.relname AS facet, 'none' AS expected,
                   pg_get_indexdef(x.oid) AS found
            WHERE h.inhparent IS NULL
              AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid
                              AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x'))
            UNION ALL
            SELECT v.facet || ' of index ' || x.relname, v.expected, v.found
            FROM (VALUES
                ('state', 'valid',
                 CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END),
                ('settings', {settings("y.reloptions")}, {settings("x.reloptions")}),
                ('tablespace', {tablespace("y.reltablespace")}, {tablespace("x.reltablespace")}),
                ('order of rows', 'none',
                 CASE WHEN i.indisclustered THEN 'clustered' ELSE 'none' END)
            ) v (facet, expected, found)
            WHERE h.inhparent IS NOT NULL AND v.expected <> v.found
        ) f""",
    "trigger": """
        SELECT c.name,
               CASE WHEN g.tgparentid = 0 AND NOT g.tgisinternal THEN 'own trigger ' || g.tgname
                    ELSE 'triggers of ' || coalesce(k.conname, g.tgname) END AS facet,
               CASE WHEN g.tgparentid = 0 AND NOT g.tgisinternal THEN 'none'
                    WHEN o.tgenabled = 'D' THEN 'off' ELSE 'on' END AS expected,
               CASE WHEN g.tgparentid = 0 AND NOT g.tgisinternal THEN pg_get_triggerdef(g.oid)
                    WHEN g.tgenabled = 'D' THEN 'off' WHEN g.tgenabled = 'O' THEN 'on'
                    ELSE 'not as its parent''s' END AS found
        FROM {pair} JOIN pg_trigger g ON g.tgrelid = c.oid
        LEFT JOIN pg_trigger o ON o.oid = g.tgparentid
        LEFT JOIN pg_constraint k ON k.oid = g.tgconstraint
        WHERE CASE WHEN g.tgparentid = 0 THEN NOT g.tgisinternal OR g.tgenabled <> 'O'
                   ELSE g.tgenabled <> o.tgenabled END""",
    "policy": """
        SELECT c.name, 'own policy ' || l.polname AS facet, 'none' AS expected, 'present' AS found
        FROM {pair} JOIN pg_policy l ON l.polrelid = c.oid""",
    "rule": """
        SELECT c.name, 'own rule ' || r.rulename AS facet, 'none' AS expected,
               pg_get_ruledef(r.oid) AS found
        FROM {pair} JOIN pg_rewrite r ON r.ev_class = c.oid""",
    "rights": f"""
        SELECT c.name, 'rights of ' || r.grantee AS facet, 'none' AS expected, r.rights AS found
        FROM {_PAIR} CROSS JOIN LATERAL ({list_rights("c.relacl", "c.relowner")}) r
        WHERE r.grantee_id <> c.relowner
        UNION ALL
        SELECT c.name, 'rights of ' || r.grantee || ' on column ' || a.attname, 'none', r.rights
        FROM {_PAIR} JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
        CROSS JOIN LATERAL ({list_rights("a.attacl", "c.relowner")}) r""",
}
FACETS: Final = {kind: query.replace("{pair}", _PAIR) for kind, query in _QUESTIONS.items()}
