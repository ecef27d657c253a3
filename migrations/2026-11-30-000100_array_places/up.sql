-- As before, but an array is filled up to a place in one step, and by a thousand elements at most: a key as short as
-- `list.999999` copied it once for each element that was missing. A place of more digits made an object of the array.
CREATE OR REPLACE FUNCTION parsimony.json_set(doc jsonb, path text[], value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    head text := path[1];
    place integer;
    size integer;
BEGIN
    IF cardinality(path) = 0 THEN
        RETURN value;
    END IF;
    IF jsonb_typeof(doc) = 'array' AND head ~ '^[0-9]+$' THEN
        size := jsonb_array_length(doc);
        IF (CASE WHEN length(head) > 9 THEN TRUE ELSE head::integer > size + 1000 END) THEN
            RAISE EXCEPTION 'an array of % elements has no place %', size, head
                USING ERRCODE = 'program_limit_exceeded';
        END IF;
        place := head::integer;
        IF place > size THEN
            doc := doc || (SELECT jsonb_agg('null'::jsonb) FROM generate_series(size + 1, place));
        END IF;
        IF place >= size THEN
            RETURN doc || jsonb_build_array(parsimony.json_set(NULL, path[2:], value));
        END IF;
        RETURN jsonb_set(doc, ARRAY[head], parsimony.json_set(doc -> place, path[2:], value));
    END IF;
    IF doc IS NULL OR jsonb_typeof(doc) <> 'object' THEN
        doc := '{}'::jsonb;
    END IF;
    RETURN doc || jsonb_build_object(head, parsimony.json_set(doc -> head, path[2:], value));
END
$$;
