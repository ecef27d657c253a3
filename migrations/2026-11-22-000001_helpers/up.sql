-- Helpers of atomic updates inside jsonb columns. Nothing of a database that parse-server made changes.
CREATE SCHEMA IF NOT EXISTS parsimony;

-- The document with `value` at `path`; objects on the way are made, scalars on the way replaced.
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
    IF jsonb_typeof(doc) = 'array' AND head ~ '^[0-9]{1,6}$' THEN
        place := head::integer;
        size := jsonb_array_length(doc);
        WHILE size < place LOOP
            doc := doc || 'null'::jsonb;
            size := size + 1;
        END LOOP;
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

-- Adds to the number at `path`; what is missing or no number counts as 0.
CREATE OR REPLACE FUNCTION parsimony.json_increment(doc jsonb, path text[], amount double precision) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT parsimony.json_set(doc, path, to_jsonb(amount + CASE jsonb_typeof(doc #> path)
        WHEN 'number' THEN (doc #> path)::double precision ELSE 0 END))
$$;

-- The array, or an empty one for anything else.
CREATE OR REPLACE FUNCTION parsimony.json_array(value jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]'::jsonb END
$$;

-- Appends every element, duplicates included.
CREATE OR REPLACE FUNCTION parsimony.array_add(list jsonb, elements jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT parsimony.json_array(list) || elements
$$;

-- Appends the elements that are not there yet, each once, in their order.
CREATE OR REPLACE FUNCTION parsimony.array_add_unique(list jsonb, elements jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT parsimony.json_array(list) || coalesce((
        SELECT jsonb_agg(fresh.element ORDER BY fresh.place) FROM (
            SELECT new.element, min(new.place) AS place
            FROM jsonb_array_elements(elements) WITH ORDINALITY AS new(element, place)
            WHERE NOT EXISTS (
                SELECT 1 FROM jsonb_array_elements(parsimony.json_array(list)) AS old(element)
                WHERE old.element = new.element)
            GROUP BY new.element) AS fresh), '[]'::jsonb)
$$;

-- Without every element that equals one of `elements`; the others keep their order.
CREATE OR REPLACE FUNCTION parsimony.array_remove(list jsonb, elements jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT jsonb_agg(old.element ORDER BY old.place)
        FROM jsonb_array_elements(parsimony.json_array(list)) WITH ORDINALITY AS old(element, place)
        WHERE NOT EXISTS (
            SELECT 1 FROM jsonb_array_elements(elements) AS gone(element)
            WHERE gone.element = old.element)), '[]'::jsonb)
$$;

-- The three array operations at a path inside a document.
CREATE OR REPLACE FUNCTION parsimony.json_array_op(doc jsonb, path text[], op text, elements jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT parsimony.json_set(doc, path, CASE op
        WHEN 'add' THEN parsimony.array_add(doc #> path, elements)
        WHEN 'unique' THEN parsimony.array_add_unique(doc #> path, elements)
        ELSE parsimony.array_remove(doc #> path, elements) END)
$$;
