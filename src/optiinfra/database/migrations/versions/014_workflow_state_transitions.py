"""Workflow state transitions: one row a change of status of an execution or step, hash-chained.

Written by triggers, whoever changes the status, under the lock of the execution's row. Each hash
covers the one before it, so that a row that was changed or taken out is found
(repositories/transitions.py). The chain of an execution made earlier begins with its next change.
"""

from alembic import op

from optiinfra.database.migrations.operations import Loss, execute_all, refuse_losses

revision = "014_workflow_state_transitions"
down_revision = "013_checks"
branch_labels = None
depends_on = None

LOSSES = (Loss("SELECT FROM workflow_state_transitions", "the history of workflow states"),)

DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"
FUNCTIONS = (
    r"""
    CREATE FUNCTION hash_workflow_transition(t workflow_state_transitions) RETURNS bytea
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT sha256(t.prev_hash || convert_to(
            t.customer_id::text || E'\x1f' || t.execution_id::text || E'\x1f'
            || coalesce(t.step_id::text, '') || E'\x1f' || t.seq::text || E'\x1f'
            || coalesce(t.old_status, '') || E'\x1f' || t.new_status || E'\x1f'
            || t.fence::text || E'\x1f' || coalesce(t.lease_owner, '') || E'\x1f'
            || t.changed_by || E'\x1f'
            || (extract(epoch FROM t.occurred_at) * 1000000)::bigint::text, 'UTF8'))
    $$""",
    f"""
    CREATE FUNCTION append_workflow_transition(
        execution workflow_executions, step uuid, old_status text, new_status text
    ) RETURNS void {DEFINER} AS $$
    DECLARE
        last record;
        new_row workflow_state_transitions;
    BEGIN
        SELECT seq, hash INTO last FROM workflow_state_transitions
        WHERE execution_id = execution.id ORDER BY seq DESC LIMIT 1;
        new_row.id := gen_random_uuid();
        new_row.customer_id := execution.customer_id;
        new_row.execution_id := execution.id;
        new_row.step_id := step;
        new_row.seq := coalesce(last.seq, 0) + 1;
        new_row.old_status := old_status;
        new_row.new_status := new_status;
        new_row.fence := execution.fence;
        new_row.lease_owner := execution.lease_owner;
        new_row.changed_by := session_user;
        new_row.occurred_at := clock_timestamp();
        new_row.prev_hash := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
        new_row.hash := hash_workflow_transition(new_row);
        INSERT INTO workflow_state_transitions SELECT new_row.*;
    END $$""",
    f"""
    CREATE FUNCTION record_execution_transition() RETURNS trigger {DEFINER} AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            PERFORM append_workflow_transition(NEW, NULL, NULL, NEW.status::text);
        ELSE
            PERFORM append_workflow_transition(NEW, NULL, OLD.status::text, NEW.status::text);
        END IF;
        RETURN NULL;
    END $$""",
    f"""
    CREATE FUNCTION record_step_transition() RETURNS trigger {DEFINER} AS $$
    DECLARE
        execution workflow_executions;
    BEGIN
        SELECT * INTO execution FROM workflow_executions
        WHERE id = NEW.workflow_execution_id FOR NO KEY UPDATE;
        IF execution.id IS NULL OR execution.customer_id <> NEW.customer_id THEN
            RETURN NULL;  -- the foreign key refuses the row at the end of the statement
        ELSIF TG_OP = 'INSERT' THEN
            PERFORM append_workflow_transition(execution, NEW.id, NULL, NEW.status::text);
        ELSE
            PERFORM append_workflow_transition(
                execution, NEW.id, OLD.status::text, NEW.status::text);
        END IF;
        RETURN NULL;
    END $$""",
    # A cascade reaches this trigger from within another one; a person does not.
    f"""
    CREATE FUNCTION keep_workflow_transitions() RETURNS trigger {DEFINER} AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'workflow_state_transitions is appended to, and never changed'
            USING ERRCODE = 'restrict_violation', TABLE = 'workflow_state_transitions',
                  CONSTRAINT = 'keep_workflow_transitions';
    END $$""",
)
SIGNATURES = (
    "keep_workflow_transitions()",
    "record_step_transition()",
    "record_execution_transition()",
    "append_workflow_transition(workflow_executions, uuid, text, text)",
    "hash_workflow_transition(workflow_state_transitions)",
)
TRIGGERS = (
    """CREATE TRIGGER record_insert AFTER INSERT ON workflow_executions
    FOR EACH ROW EXECUTE FUNCTION record_execution_transition()""",
    """CREATE TRIGGER record_update AFTER UPDATE ON workflow_executions FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION record_execution_transition()""",
    """CREATE TRIGGER record_insert AFTER INSERT ON workflow_steps
    FOR EACH ROW EXECUTE FUNCTION record_step_transition()""",
    """CREATE TRIGGER record_update AFTER UPDATE ON workflow_steps FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION record_step_transition()""",
    """CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON workflow_state_transitions
    FOR EACH ROW EXECUTE FUNCTION keep_workflow_transitions()""",
    """CREATE TRIGGER keep_table BEFORE TRUNCATE ON workflow_state_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION keep_workflow_transitions()""",
)


def upgrade() -> None:
    op.execute("""
        CREATE TABLE workflow_state_transitions (
            id uuid NOT NULL DEFAULT gen_random_uuid()
                CONSTRAINT workflow_state_transitions_pkey PRIMARY KEY,
            customer_id uuid NOT NULL,
            execution_id uuid NOT NULL,
            step_id uuid,
            seq bigint NOT NULL,
            old_status varchar(20),
            new_status varchar(20) NOT NULL,
            fence bigint NOT NULL,
            lease_owner varchar(255),
            changed_by varchar(63) NOT NULL,
            occurred_at timestamptz NOT NULL,
            prev_hash bytea NOT NULL,
            hash bytea NOT NULL,
            CONSTRAINT workflow_state_transitions_execution_id_seq_key UNIQUE (execution_id, seq),
            CONSTRAINT workflow_state_transitions_execution_id_customer_id_fkey
                FOREIGN KEY (execution_id, customer_id)
                REFERENCES workflow_executions (id, customer_id) ON DELETE CASCADE,
            CONSTRAINT check_transition_hashes
                CHECK (length(prev_hash) = 32 AND length(hash) = 32 AND seq > 0)
        )""")
    execute_all(FUNCTIONS)
    for signature in SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    execute_all(TRIGGERS)


def downgrade() -> None:
    refuse_losses(LOSSES)
    for table in ("workflow_executions", "workflow_steps"):
        op.execute(f"DROP TRIGGER record_insert ON {table}")
        op.execute(f"DROP TRIGGER record_update ON {table}")
    op.execute("DROP TRIGGER keep_rows ON workflow_state_transitions")
    op.execute("DROP TRIGGER keep_table ON workflow_state_transitions")
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP TABLE workflow_state_transitions")
