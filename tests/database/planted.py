"""Differences to plant, by what they are planted in, and the words by which each must be found.

Within a group no difference hides another, so that a group is planted in one transaction.
"""

from __future__ import annotations

# Objects that revisions make or may make later, so that the plants hold for all of them.
OBJECTS = """
    CREATE TABLE planted (id uuid PRIMARY KEY, customer_id uuid NOT NULL, note text, n integer);
    CREATE TABLE samples (id uuid, at timestamptz NOT NULL, n integer NOT NULL DEFAULT 1)
        PARTITION BY RANGE (at);
    CREATE TABLE samples_old PARTITION OF samples
        FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00+00');
    CREATE TABLE samples_now PARTITION OF samples
        FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2999-01-01 00:00+00');
    CREATE TABLE readings (at timestamptz NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE readings_now PARTITION OF readings
        FOR VALUES FROM (MINVALUE) TO ('2999-01-01 00:00+00');
    CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RETURN OLD;
    END $$;
    CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
    CREATE TRIGGER guard BEFORE DELETE ON planted FOR EACH ROW EXECUTE FUNCTION guard();
    CREATE TRIGGER guard_twice BEFORE DELETE ON planted FOR EACH ROW EXECUTE FUNCTION guard();
    CREATE TRIGGER guard BEFORE DELETE ON samples FOR EACH ROW EXECUTE FUNCTION guard();
    ALTER TABLE planted ENABLE ROW LEVEL SECURITY;
    CREATE POLICY by_tenant ON planted USING (note = current_setting('optiinfra.tenant'));
    CREATE POLICY by_reader ON planted FOR SELECT TO pg_monitor USING (true);
    CREATE POLICY by_writer ON planted TO pg_monitor USING (true);
    CREATE VIEW shared WITH (security_barrier) AS SELECT id FROM planted;
    CREATE VIEW other_view AS SELECT id FROM planted;
    CREATE SEQUENCE numbers;
    CREATE SEQUENCE more_numbers;
    CREATE SEQUENCE own_numbers OWNED BY planted.n;
    GRANT SELECT ON planted TO pg_monitor;
    GRANT UPDATE (note) ON planted TO pg_monitor;
    CREATE TYPE colour AS ENUM ('red', 'green');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE INDEX planted_note ON planted (note) WHERE note IS NOT NULL;
    CREATE INDEX planted_n ON planted (n);
    CREATE STATISTICS counted ON note, n FROM planted;
"""
YEAR = 2990  # of partitions whose names do not depend on today
TENANT = "00000000-0000-4000-8000-000000000000"
PARTITION = "events_p_2990_05"
OTHER_PARTITION = "events_p_2990_06"

PLANTED: dict[str, dict[str, str]] = {
    "tables": {
        "DROP TABLE workflow_artifacts": "table workflow_artifacts is missing",
        "CREATE TABLE theirs (id int PRIMARY KEY)": "table theirs should not be there",
        "CREATE TABLE child () INHERITS (planted)": "table child should not be there",
        "CREATE TABLE aside (LIKE agents); ALTER TABLE agents INHERIT aside": (
            "table agents: inheritance is aside"
        ),
        "ALTER TABLE planted SET (fillfactor = 70)": (
            "table planted: storage settings is fillfactor=70, should be none"
        ),
        "ALTER TABLE planted FORCE ROW LEVEL SECURITY": "table planted: row security is on, forced",
        "ALTER TABLE customers DISABLE ROW LEVEL SECURITY": "table customers: row security is off",
        "ALTER TABLE approvals SET UNLOGGED": "table approvals: persistence is unlogged",
        "COMMENT ON TABLE planted IS 'mine'": "table planted: comment is mine",
        "ALTER TABLE recommendations REPLICA IDENTITY FULL": (
            "table recommendations: replica identity is full"
        ),
        "ALTER TABLE agent_states OWNER TO pg_monitor": "table agent_states: owner is pg_monitor",
        "CREATE RULE mine AS ON DELETE TO audit_log DO INSTEAD NOTHING": (
            "rule audit_log.mine should not be there"
        ),
    },
    "columns": {
        "ALTER TABLE agents ALTER endpoint TYPE varchar(99)": "column agents.endpoint: type",
        "ALTER TABLE agents ALTER name DROP NOT NULL": "column agents.name: nullability is null",
        "ALTER TABLE agents ALTER status SET DEFAULT 'failed'": "column agents.status: default",
        'ALTER TABLE customers ALTER name TYPE varchar(255) COLLATE "C"': (
            'column customers.name: collation is "C"'
        ),
        "ALTER TABLE agents DROP metadata": "column agents.metadata is missing",
        "ALTER TABLE agents ADD mine int": "column agents.mine should not be there",
        "ALTER TABLE planted ADD d int GENERATED ALWAYS AS (n) STORED": (
            "column planted.d should not be there"
        ),
        "ALTER TABLE planted ALTER n SET NOT NULL, ALTER n ADD GENERATED ALWAYS AS IDENTITY": (
            "column planted.n: identity is always"
        ),
        "ALTER TABLE recommendations RENAME title TO heading": (
            "column recommendations.title is missing"
        ),
        "ALTER TABLE recommendations ALTER status SET STATISTICS 0": (
            "column recommendations.status: statistics is 0"
        ),
        "ALTER TABLE recommendations ALTER data SET STORAGE EXTERNAL": (
            "column recommendations.data: storage is external"
        ),
        "ALTER TABLE recommendations ALTER customer_id SET (n_distinct = 1)": (
            "column recommendations.customer_id: settings is n_distinct=1"
        ),
        "COMMENT ON COLUMN approvals.comment IS 'x'": "column approvals.comment: comment is x",
    },
    "indexes and constraints": {
        "DROP INDEX idx_agent_status": "index idx_agent_status is missing",
        "CREATE INDEX mine ON agents (name)": "index mine should not be there",
        "DROP INDEX planted_note; CREATE INDEX planted_note ON planted (note)": (
            "index planted_note: definition"
        ),
        "ALTER INDEX planted_n SET (fillfactor = 50)": "index planted_n: definition",
        "UPDATE pg_index SET indisvalid = false "
        "WHERE indexrelid = 'idx_agent_heartbeat'::regclass": (
            "index idx_agent_heartbeat: state is invalid"
        ),
        "ALTER TABLE optimizations CLUSTER ON optimizations_pkey": (
            "index optimizations_pkey: clusters its table is yes"
        ),
        "ALTER TABLE recommendations DROP CONSTRAINT check_confidence_range": (
            "constraint recommendations.check_confidence_range is missing"
        ),
        "ALTER TABLE planted ADD CONSTRAINT mine CHECK (n > 0)": (
            "constraint planted.mine should not be there"
        ),
        "ALTER TABLE quality_metrics DROP CONSTRAINT check_prompt_tokens, "
        "ADD CONSTRAINT check_prompt_tokens CHECK (prompt_tokens >= -1)": (
            "constraint quality_metrics.check_prompt_tokens: definition"
        ),
        "ALTER TABLE agent_states DROP CONSTRAINT agent_states_agent_id_fkey, "
        "ADD CONSTRAINT agent_states_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES agents (id) "
        "NOT VALID": "constraint agent_states.agent_states_agent_id_fkey: state is not validated",
        "ALTER TABLE agent_configs ALTER CONSTRAINT agent_configs_agent_id_fkey DEFERRABLE": (
            "constraint agent_configs.agent_configs_agent_id_fkey: definition"
        ),
        "ALTER TABLE scaling_events DISABLE TRIGGER ALL": (
            "constraint scaling_events.scaling_events_agent_id_fkey: enforcement is off on"
            " scaling_events, should be on"
        ),
        "DROP STATISTICS counted; CREATE STATISTICS counted ON id, n FROM planted": (
            "statistics counted: definition"
        ),
        "CREATE STATISTICS mine ON status, priority FROM recommendations": (
            "statistics mine should not be there"
        ),
    },
    "policies and triggers": {
        "DROP POLICY by_reader ON planted": "policy planted.by_reader is missing",
        "ALTER POLICY by_tenant ON planted USING (true)": "policy planted.by_tenant: using is true",
        "ALTER POLICY by_writer ON planted TO PUBLIC": "policy planted.by_writer: roles is PUBLIC",
        "CREATE POLICY mine ON agents USING (true)": "policy agents.mine should not be there",
        "DROP POLICY tenant ON events; CREATE POLICY tenant ON events AS RESTRICTIVE FOR SELECT": (
            "policy events.tenant: mode is restrictive"
        ),
        "ALTER TABLE optimizations DISABLE TRIGGER guard_rows": (
            "trigger optimizations.guard_rows: state is disabled, should be enabled"
        ),
        "DROP TRIGGER guard_twice ON planted": "trigger planted.guard_twice is missing",
        "ALTER TABLE planted ENABLE ALWAYS TRIGGER guard": (
            "trigger planted.guard: state is always enabled"
        ),
        "CREATE TRIGGER mine BEFORE DELETE ON agents FOR EACH ROW EXECUTE FUNCTION guard()": (
            "trigger agents.mine should not be there"
        ),
        "CREATE OR REPLACE TRIGGER guard BEFORE UPDATE ON samples FOR EACH ROW "
        "EXECUTE FUNCTION guard()": "trigger samples.guard: definition",
        "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION watch()": (
            "event trigger mine should not be there"
        ),
        "CREATE PUBLICATION mine FOR ALL TABLES": "publication mine should not be there",
    },
    "types, functions and views": {
        "ALTER TYPE colour ADD VALUE 'blue' BEFORE 'green'": (
            "enum colour: labels is red, blue, green, should be red, green"
        ),
        "CREATE TYPE mine AS ENUM ('a')": "enum mine should not be there",
        "CREATE TYPE pair AS (a int)": "type pair should not be there",
        "ALTER DOMAIN positive SET NOT NULL": "type positive: definition is domain of integer not",
        "CREATE DOMAIN other AS int": "type other should not be there",
        "CREATE TYPE span AS RANGE (subtype = float8)": "type span should not be there",
        "CREATE OR REPLACE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        "    BEGIN\n        RETURN NULL;\n    END $$": (
            "function guard(): definition differs; - should be, + is\n"
            "    -         RETURN OLD;\n    +         RETURN NULL;"
        ),
        "ALTER FUNCTION guard_customers() RESET search_path": (
            "function guard_customers(): definition differs"
        ),
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'": (
            "function mine() should not be there"
        ),
        "ALTER FUNCTION watch() OWNER TO pg_monitor": "function watch(): owner is pg_monitor",
        "ALTER VIEW shared RESET (security_barrier)": "view shared: storage settings is none",
        "CREATE OR REPLACE VIEW other_view AS SELECT customer_id AS id FROM planted": (
            "view other_view: definition"
        ),
        "CREATE VIEW one AS SELECT 1 AS one": "view one should not be there",
        "CREATE MATERIALIZED VIEW copied AS SELECT * FROM customers": (
            "view copied should not be there"
        ),
        "ALTER VIEW agent_directory OWNER TO pg_monitor": "view agent_directory: owner is pg_mon",
        "ALTER SEQUENCE numbers INCREMENT BY 7 MAXVALUE 5000 CYCLE": (
            "sequence numbers: definition is bigint from 1 by 7 within 1 to 5000 again and again"
        ),
        "ALTER SEQUENCE more_numbers CACHE 100": "sequence more_numbers: cache is 100 at once",
        "ALTER SEQUENCE own_numbers OWNED BY NONE": "sequence own_numbers: feeds is nothing",
        "CREATE SEQUENCE theirs": "sequence theirs should not be there",
        "CREATE SCHEMA mine": "schema mine should not be there",
        "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)": (
            "object operator ===(integer,integer) should not be there"
        ),
        'CREATE COLLATION mine FROM "C"': "object collation mine should not be there",
        "CREATE FOREIGN DATA WRAPPER mine": "object foreign-data wrapper mine should not be there",
        "CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple)": (
            "object text search configuration mine should not be there"
        ),
        "INSERT INTO alembic_version VALUES ('999_x')": "schema revision: number is ",
    },
    "rights": {
        "GRANT DELETE ON planted TO pg_monitor": (
            "grant on planted to pg_monitor: rights is DELETE, SELECT, should be SELECT"
        ),
        "REVOKE UPDATE (note) ON planted FROM pg_monitor": (
            "grant on planted.note to pg_monitor is missing"
        ),
        "GRANT SELECT (api_key) ON customers TO optiinfra_app": (
            "grant on customers.api_key to optiinfra_app should not be there"
        ),
        "GRANT SELECT ON agents TO PUBLIC": "grant on agents to PUBLIC should not be there",
        "GRANT SELECT ON agents TO optiinfra_worker WITH GRANT OPTION": (
            "grant on agents to optiinfra_worker: rights is INSERT, SELECT*, UPDATE"
        ),
        "REVOKE SELECT ON events FROM optiinfra_app": (
            "grant on events to optiinfra_app: rights is INSERT, should be INSERT, SELECT"
        ),
        "GRANT USAGE ON SEQUENCE numbers TO pg_monitor": (
            "grant on sequence numbers to pg_monitor should not be there"
        ),
        "REVOKE EXECUTE ON FUNCTION guard() FROM PUBLIC": (
            "grant on function guard() to PUBLIC is missing"
        ),
        "REVOKE USAGE ON TYPE colour FROM PUBLIC": "grant on type colour to PUBLIC is missing",
        "GRANT CREATE ON SCHEMA public TO pg_monitor": (
            "grant on schema public to pg_monitor should not be there"
        ),
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO optiinfra_app": (
            "grant by default on tables of the owner to optiinfra_app should not be there"
        ),
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO PUBLIC": (
            "grant by default on sequences of schema public of the owner to PUBLIC should not"
        ),
        "GRANT CREATE ON DATABASE {database} TO optiinfra_app": (
            "grant on the database to optiinfra_app: rights is CREATE, should be none"
        ),
        "GRANT SET ON PARAMETER session_replication_role TO optiinfra_worker": (
            "grant on parameter session_replication_role to optiinfra_worker: rights is SET"
        ),
    },
    "roles": {
        "GRANT optiinfra_worker TO optiinfra_app": (
            "role optiinfra_app: membership is optiinfra_worker, should be none"
        ),
        "GRANT pg_write_all_data TO optiinfra_worker": (
            "role optiinfra_worker: membership is pg_write_all_data, should be none"
        ),
        "REVOKE pg_read_all_data FROM optiinfra_backup": (
            "role optiinfra_backup: membership is none, should be pg_read_all_data"
        ),
        "ALTER ROLE optiinfra_app BYPASSRLS": "role optiinfra_app: row security is passed by",
        "ALTER ROLE optiinfra_ingest NOBYPASSRLS": "role optiinfra_ingest: row security is obeyed",
        "ALTER ROLE optiinfra_app LOGIN": "role optiinfra_app: login is yes, should be no",
        "ALTER ROLE optiinfra_app CREATEROLE": "role optiinfra_app: creation of roles is yes",
        "ALTER ROLE optiinfra_app CREATEDB": "role optiinfra_app: creation of databases is yes",
        "ALTER ROLE optiinfra_app REPLICATION": "role optiinfra_app: replication is yes",
        "ALTER ROLE optiinfra_purge SUPERUSER": "role optiinfra_purge: superuser is yes",
        f"ALTER ROLE optiinfra_app SET optiinfra.customer_id = '{TENANT}'": (
            f"setting optiinfra.customer_id of optiinfra_app: value is {TENANT}, should be none"
        ),
        f"ALTER DATABASE {{database}} SET optiinfra.customer_id = '{TENANT}'": (
            f"setting optiinfra.customer_id of the database: value is {TENANT}"
        ),
        "ALTER DATABASE {database} SET row_security = off": (
            "setting row_security of the database: value is off"
        ),
        "ALTER ROLE optiinfra_worker IN DATABASE {database} "
        "SET session_replication_role = replica": (
            "setting session_replication_role of optiinfra_worker: value is replica"
        ),
        "ALTER ROLE CURRENT_USER SET search_path = other": (
            "setting search_path of the owner: value is other"
        ),
    },
    "partitions": {
        f"ALTER TABLE {PARTITION} OWNER TO pg_monitor": f"partition {PARTITION}: owner is pg_mon",
        f"ALTER TABLE {PARTITION} SET UNLOGGED": f"partition {PARTITION}: persistence is unlogged",
        f"ALTER TABLE {PARTITION} ADD CONSTRAINT mine CHECK (event_type <> 'x')": (
            f"partition {PARTITION}: own constraint mine is CHECK"
        ),
        f"ALTER TABLE {PARTITION} ADD CONSTRAINT once UNIQUE (id)": (
            f"partition {PARTITION}: own constraint once is UNIQUE (id), should be none"
        ),
        f"CREATE INDEX own_index ON {PARTITION} (data)": (
            f"partition {PARTITION}: own index own_index is CREATE INDEX"
        ),
        f"ALTER INDEX {PARTITION}_event_type_idx SET (fillfactor = 50)": (
            f"partition {PARTITION}: settings of index {PARTITION}_event_type_idx is fillfactor=50"
        ),
        f"ALTER TABLE {PARTITION} CLUSTER ON {PARTITION}_pkey": (
            f"partition {PARTITION}: order of rows of index {PARTITION}_pkey is clustered"
        ),
        f"ALTER TABLE {PARTITION} SET (autovacuum_enabled = off)": (
            f"partition {PARTITION}: storage settings is autovacuum_enabled=off, should be none"
        ),
        f"ALTER TABLE {PARTITION} ENABLE ROW LEVEL SECURITY": (
            f"partition {PARTITION}: row security is on"
        ),
        f"ALTER TABLE {PARTITION} REPLICA IDENTITY FULL": (
            f"partition {PARTITION}: replica identity is full"
        ),
        f"COMMENT ON TABLE {PARTITION} IS 'mine'": f"partition {PARTITION}: comment is mine",
        f"CREATE POLICY mine ON {PARTITION} USING (true)": (
            f"partition {PARTITION}: own policy mine is present"
        ),
        f"CREATE RULE mine AS ON DELETE TO {PARTITION} DO INSTEAD NOTHING": (
            f"partition {PARTITION}: own rule mine is CREATE RULE"
        ),
        f"GRANT SELECT ON {PARTITION} TO optiinfra_app": (
            f"partition {PARTITION}: rights of optiinfra_app is SELECT, should be none"
        ),
        f"GRANT SELECT (data) ON {PARTITION} TO optiinfra_app": (
            f"partition {PARTITION}: rights of optiinfra_app on column data is SELECT"
        ),
        f"ALTER TABLE {PARTITION} ALTER severity SET DEFAULT 'error'": (
            f"partition {PARTITION}: default of column severity is 'error'"
        ),
        f"ALTER TABLE {PARTITION} ALTER agent_id SET NOT NULL": (
            f"partition {PARTITION}: nullability of column agent_id is not null"
        ),
        f"ALTER TABLE {PARTITION} ALTER data SET STORAGE EXTERNAL": (
            f"partition {PARTITION}: storage of column data is external"
        ),
        f"ALTER TABLE {PARTITION} ALTER data SET STATISTICS 1000": (
            f"partition {PARTITION}: statistics of column data is 1000"
        ),
        f"CREATE TRIGGER mine BEFORE DELETE ON {PARTITION} FOR EACH ROW EXECUTE FUNCTION guard()": (
            f"partition {PARTITION}: own trigger mine is CREATE TRIGGER"
        ),
        "ALTER TABLE ONLY samples_now DISABLE TRIGGER guard": (
            "partition samples_now: triggers of guard is off, should be on"
        ),
        f"ALTER TABLE {OTHER_PARTITION} DISABLE TRIGGER ALL": (
            f"partition {OTHER_PARTITION}: triggers of events_agent_id_fkey is off, should be on"
        ),
        "CREATE TABLE samples_any PARTITION OF samples DEFAULT": (
            "partition samples_any: bounds is DEFAULT, should be a range"
        ),
        "ALTER TABLE events_p_2990_07 RENAME TO july": (
            "partition july: name is july, should be events_p_2990_07"
        ),
        "DROP TABLE events_p_2990_03": (
            "partition events: ranges is a gap from 2990-03-01 00:00:00+00:00 to 2990-04-01"
        ),
        "ALTER TABLE resource_metrics DETACH PARTITION resource_metrics_p_2990_04": (
            "partition resource_metrics: ranges is a gap from 2990-04-01"
        ),
        "DROP TABLE events_p_2990_12": (
            "partition events: end is 2990-12-01, should be 2991-01-01 or later"
        ),
        "DROP TABLE readings_now": "partition readings: now is not covered",
    },
    "time without partitions": {
        "DROP TABLE samples_now; CREATE TABLE samples_now PARTITION OF samples "
        "FOR VALUES FROM ('2021-01-01 00:00+00') TO (now() + interval '5 days')": (
            "partition samples: ranges is a gap from 2020-01-01 00:00:00+00:00 to 2021-01-01"
        ),
        "SELECT 1": "partition samples: end is ",
    },
}
