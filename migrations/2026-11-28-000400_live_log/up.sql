-- Changes of objects as live queries need them: those made directly in SQL (`liveQuery.sqlChanges`), and
-- those of the server itself when events are to outlive it (`liveQuery.eventLog`). Written by a trigger, in
-- the write's own statement; no table of parse-server gets one unless an option asks for it.
CREATE SCHEMA IF NOT EXISTS parsimony;

CREATE TABLE parsimony.live_log (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    class text NOT NULL,
    -- Written by a server of ours, which told of it itself.
    own boolean NOT NULL,
    -- The row as JSON; null before an insert and after a delete.
    state_before jsonb,
    state_after jsonb
);

CREATE INDEX live_log_by_class ON parsimony.live_log (class, at);
CREATE INDEX live_log_by_age ON parsimony.live_log (at);

-- Classes whose changes are written down.
CREATE TABLE parsimony.live_capture (
    class text PRIMARY KEY,
    -- 'others': what others than our servers write; 'all'.
    mode text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Arguments: class, mode. Our servers' sessions are known by the setting `parsimony.server`. Whoever writes
-- to the class needs no rights here.
CREATE FUNCTION parsimony.live_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    is_own boolean := coalesce(current_setting('parsimony.server', true), '') <> '';
    row_before jsonb;
    row_after jsonb;
    entry bigint;
BEGIN
    IF is_own AND TG_ARGV[1] <> 'all' THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        row_before := to_jsonb(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        row_after := to_jsonb(NEW);
    END IF;
    IF row_before = row_after THEN
        RETURN NULL;
    END IF;
    INSERT INTO parsimony.live_log (class, own, state_before, state_after)
        VALUES (TG_ARGV[0], is_own, row_before, row_after) RETURNING id INTO entry;
    IF NOT is_own THEN
        -- By reference: a notification is small, a row may not be.
        PERFORM pg_notify('parsimony', json_build_object('kind', 'other', 'channel', 'live-sql', 'value',
            json_build_object('class', TG_ARGV[0], 'id', entry)::text)::text);
    END IF;
    RETURN NULL;
END $$;

-- Answers whether there is such a table. Waits two seconds at most for its lock.
CREATE FUNCTION parsimony.live_capture_start(wanted_class text, wanted_mode text) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    target regclass := to_regclass('public.' || quote_ident(wanted_class));
BEGIN
    IF target IS NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('parsimony.live_capture'));
    IF EXISTS (
        SELECT FROM parsimony.live_capture c JOIN pg_trigger t ON t.tgrelid = target AND t.tgname = 'parsimony_live'
        WHERE c.class = wanted_class AND c.mode IN ('all', wanted_mode)
    ) THEN
        RETURN true;
    END IF;
    EXECUTE format('DROP TRIGGER IF EXISTS parsimony_live ON %s', target);
    EXECUTE format(
        'CREATE TRIGGER parsimony_live AFTER INSERT OR UPDATE OR DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION parsimony.live_changed(%L, %L)', target, wanted_class, wanted_mode);
    INSERT INTO parsimony.live_capture (class, mode) VALUES (wanted_class, wanted_mode)
        ON CONFLICT (class) DO UPDATE SET mode = EXCLUDED.mode, since = clock_timestamp();
    RETURN true;
END $$;

-- Takes every trigger away, and what was written down.
CREATE FUNCTION parsimony.live_capture_stop() RETURNS void
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    target regclass;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('parsimony.live_capture'));
    FOR target IN SELECT tgrelid FROM pg_trigger WHERE tgname = 'parsimony_live' LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS parsimony_live ON %s', target);
    END LOOP;
    DELETE FROM parsimony.live_capture;
    DELETE FROM parsimony.live_log;
END $$;
