-- Drafts come from the api. Activated, a policy holds from `activated_at` (product time) on, for good: what
-- comes after it is another version. The first one holds from the beginning of time.
ALTER TABLE policies
    ADD created_by     text NOT NULL DEFAULT 'the first migration',
    ADD activated_by   text,
    ADD activated_note text,
    ADD CHECK (greatest(new_for, churned_after, returned_for) <= interval '3650 days');
ALTER TABLE policies ALTER created_by SET DEFAULT session_user;

-- Versions and instants both ascend, whoever writes: every history rests on it.
CREATE FUNCTION check_activation() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.activated_at IS NOT NULL THEN
        RAISE EXCEPTION 'policy % was activated already', OLD.version USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM policies WHERE activated_at IS NOT NULL AND version >= NEW.version)
       OR EXISTS (SELECT FROM policies WHERE activated_at >= NEW.activated_at
                  AND version > (SELECT min(version) FROM policies)) THEN
        RAISE EXCEPTION 'policy % is not activated in order', NEW.version USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER policies_in_order BEFORE UPDATE OF activated_at ON policies
    FOR EACH ROW WHEN (OLD.activated_at IS NOT NULL OR NEW.activated_at IS NOT NULL)
    EXECUTE FUNCTION check_activation();
CREATE TRIGGER policies_begin_in_order BEFORE INSERT ON policies
    FOR EACH ROW WHEN (NEW.activated_at IS NOT NULL) EXECUTE FUNCTION check_activation();

GRANT INSERT (version, new_for, silent_after, churned_after, returned_for, note, created_by, created_at)
    ON policies TO ebbtide_api;
GRANT UPDATE (activated_at, activated_by, activated_note) ON policies TO ebbtide_api;
