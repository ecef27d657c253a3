DROP FUNCTION IF EXISTS parsimony.json_array_op(jsonb, text[], text, jsonb);
DROP FUNCTION IF EXISTS parsimony.array_remove(jsonb, jsonb);
DROP FUNCTION IF EXISTS parsimony.array_add_unique(jsonb, jsonb);
DROP FUNCTION IF EXISTS parsimony.array_add(jsonb, jsonb);
DROP FUNCTION IF EXISTS parsimony.json_array(jsonb);
DROP FUNCTION IF EXISTS parsimony.json_increment(jsonb, text[], double precision);
DROP FUNCTION IF EXISTS parsimony.json_set(jsonb, text[], jsonb);
