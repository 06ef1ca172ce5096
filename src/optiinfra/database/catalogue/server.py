"""Questions about what the server keeps for all its databases: roles, their settings and rights.

A schema made now cannot tell how these must be, since both databases share them: what is expected
of them is written down (database/verification/roles.py).
"""
# ruff: noqa: S608 - put together from constants of this package alone

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from optiinfra.database.catalogue.phrases import OWNER, list_rights, role

OUR_ROLES: Final = (
    "optiinfra_app",
    "optiinfra_backup",
    "optiinfra_ingest",
    "optiinfra_purge",
    "optiinfra_worker",
)
_OURS: Final = ", ".join(f"'{name}'" for name in OUR_ROLES)
_SET_OPTION_SINCE: Final = 160_000
_ROLES: Final = f"""
    SELECT r.rolname AS name,
           CASE WHEN r.rolsuper THEN 'yes' ELSE 'no' END AS superuser,
           CASE WHEN r.rolcanlogin THEN 'yes' ELSE 'no' END AS login,
           CASE WHEN r.rolcreaterole THEN 'yes' ELSE 'no' END AS creation_of_roles,
           CASE WHEN r.rolcreatedb THEN 'yes' ELSE 'no' END AS creation_of_databases,
           CASE WHEN r.rolreplication THEN 'yes' ELSE 'no' END AS replication,
           CASE WHEN r.rolbypassrls THEN 'passed by' ELSE 'obeyed' END AS row_security,
           coalesce((SELECT string_agg(m.roleid::regrole::text
                                       || CASE WHEN m.admin_option THEN ' with admin' ELSE '' END
                                       || CASE WHEN pg_has_role(r.oid, m.roleid, 'USAGE') THEN ''
                                          ELSE ' not inherited' END,
                                       ', ' ORDER BY m.roleid::regrole::text)
                     FROM (SELECT roleid, bool_or(admin_option) AS admin_option
                           FROM pg_auth_members WHERE member = r.oid GROUP BY roleid) m), 'none')
               AS membership,
           CASE WHEN pg_has_role({OWNER}, r.oid, '{{as}}') THEN 'yes' ELSE 'no' END
               AS use_by_the_owner
    FROM pg_roles r WHERE r.rolname IN ({_OURS})
"""
# What a session of one of our roles or of the owner would begin with, in this database.
_SETTINGS: Final = f"""
    SELECT split_part(c.setting, '=', 1) AS name, split_part(c.setting, '=', 2) AS value,
           CASE WHEN s.setrole = 0 THEN 'the database' ELSE {role("s.setrole")} END AS place,
           g.category
    FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c (setting)
    LEFT JOIN pg_settings g ON g.name = split_part(c.setting, '=', 1)
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND (s.setrole = 0 AND s.setdatabase <> 0 OR s.setrole = {OWNER}
           OR pg_get_userbyid(s.setrole) IN ({_OURS}))
"""
# What holds at once, wherever it was set: by the server's own files, say.
IN_FORCE: Final = {
    "session_replication_role": "origin",
    "row_security": "on",
    "optiinfra.customer_id": "",
}
_DATABASE_ACL: Final = "coalesce(b.datacl, acldefault('d', b.datdba))"
_RIGHTS: Final = f"""
    SELECT 'on the database to ' || p.grantee AS name, p.rights
    FROM pg_database b CROSS JOIN LATERAL ({list_rights(_DATABASE_ACL, "b.datdba")}) p
    WHERE b.datname = current_database() AND p.grantee_id NOT IN (b.datdba, {OWNER})
      AND p.rights LIKE '%CREATE%'
    UNION ALL
    SELECT 'on parameter ' || a.parname || ' to ' || p.grantee, p.rights
    FROM pg_parameter_acl a CROSS JOIN LATERAL ({list_rights("a.paracl", "0::oid")}) p
    WHERE p.grantee = 'PUBLIC' OR p.grantee IN ({_OURS})
"""


def list_roles(connection: Connection) -> dict[str, dict[str, str]]:
    """Our roles that the server has, with what each is and may do."""
    version: int = connection.execute(text("SHOW server_version_num")).scalar_one()
    kind = "SET" if int(version) >= _SET_OPTION_SINCE else "MEMBER"
    rows = connection.execute(text(_ROLES.replace("{as}", kind))).mappings()
    return {row["name"]: {k: str(v) for k, v in row.items() if k != "name"} for row in rows}


def list_settings(connection: Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """Value and category of each setting of our roles and the database, by name and place."""
    found = {
        (row.name, row.place): (row.value, row.category or "")
        for row in connection.execute(text(_SETTINGS))
    }
    named = {name for name, _ in found}
    for name, usual in IN_FORCE.items():
        query = text("SELECT coalesce(current_setting(:name, true), '')")
        value: str = connection.execute(query, {"name": name}).scalar_one()
        if value != usual and name not in named:
            found[name, "the server"] = (value, "")
    return found


def list_server_rights(connection: Connection) -> dict[str, str]:
    """Rights that nobody but the owner should have, by object and grantee."""
    return {row.name: row.rights for row in connection.execute(text(_RIGHTS))}
