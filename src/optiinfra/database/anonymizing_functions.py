"""How a value is replaced, as functions of one transaction.

They work in the database, where the rows are. `own_words` are the program's own
(database/own_words.py).
"""

from __future__ import annotations

from typing import Final

WORDS: Final = "COPY pg_temp.own_words FROM STDIN"
FUNCTIONS: Final = r"""
CREATE TEMPORARY TABLE own_words (word text PRIMARY KEY) ON COMMIT DROP;

-- HMAC-SHA-256 with the run key, in hex.
CREATE FUNCTION pg_temp.token(value text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(decode(current_setting('optiinfra.outer_key'), 'hex')
        || sha256(decode(current_setting('optiinfra.inner_key'), 'hex')
        || convert_to(value, 'UTF8'))), 'hex') $$;

CREATE FUNCTION pg_temp.is_own(value text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_temp.own_words WHERE word = value) $$;

-- An id or an instant, which say nothing of anybody by themselves.
CREATE FUNCTION pg_temp.is_mark(value text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT value ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        OR value ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.Z+-]*$' $$;

-- A digest stays as long as it is, so that it is the same in a column and in a document.
CREATE FUNCTION pg_temp.replaced(value text, width int, keeps_words boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN keeps_words AND pg_temp.is_own(value) THEN value
        WHEN value ~ '^[0-9a-f]{64}$' AND width >= 64 THEN pg_temp.token(value)
        WHEN value LIKE '%@%' AND width >= 40
            THEN left(pg_temp.token(lower(value)), 20) || '@example.invalid'
        ELSE left('x' || pg_temp.token(value), least(width, 21)) END $$;

-- What is no plain version becomes one that sorts before all others.
CREATE FUNCTION pg_temp.replaced_version(value text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN value ~ '^\d{1,9}\.\d{1,9}\.\d{1,9}$' THEN value
        ELSE '0.0.0-x' || left(pg_temp.token(value), 20) END $$;

CREATE FUNCTION pg_temp.replaced_json(value jsonb, keeps_words boolean) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'string' THEN CASE WHEN pg_temp.is_mark(value #>> '{}') THEN value
            ELSE to_jsonb(pg_temp.replaced(value #>> '{}', 255, keeps_words)) END
        WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(
                CASE WHEN pg_temp.is_mark(e.key) THEN e.key
                     ELSE pg_temp.replaced(e.key, 255, true) END,
                pg_temp.replaced_json(e.value, keeps_words)), '{}')
            FROM jsonb_each(value) e)
        WHEN 'array' THEN (SELECT coalesce(
                jsonb_agg(pg_temp.replaced_json(e.value, keeps_words) ORDER BY e.nr), '[]')
            FROM jsonb_array_elements(value) WITH ORDINALITY e(value, nr))
        ELSE value END;
END $$;

-- A setting that is a number or a truth value stays; what only claims to be one does not.
CREATE FUNCTION pg_temp.replaced_setting(value text, kind text, is_sensitive boolean) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT is_sensitive AND (
        kind IN ('integer', 'float') AND value ~ '^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$'
        OR kind = 'boolean' AND value IN ('true', 'false'))
    THEN
        RETURN value;
    ELSIF NOT is_sensitive AND kind = 'json' THEN
        RETURN pg_temp.replaced_json(value::jsonb, false)::text;
    END IF;
    RETURN pg_temp.replaced(value, 255, false);
EXCEPTION WHEN invalid_text_representation THEN
    RETURN pg_temp.replaced(value, 255, false);
END $$;
"""
