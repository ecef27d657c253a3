-- Contents of files where no other store is configured. Nothing here touches a table of parse-server.
CREATE SCHEMA IF NOT EXISTS parsimony;

CREATE SEQUENCE parsimony.file_version;

CREATE TABLE parsimony.file (
    -- Chosen at random by the writer; authenticated with every encrypted chunk.
    id bigint PRIMARY KEY,
    app text NOT NULL,
    name text NOT NULL,
    -- Null while the upload is under way. The highest one of a name is the file.
    version bigint,
    size bigint NOT NULL DEFAULT 0,
    -- Bytes of content in every chunk but the last.
    chunk_size integer NOT NULL,
    content_type text,
    metadata jsonb NOT NULL,
    tags jsonb NOT NULL,
    -- SHA-256 of the content; null for encrypted files, whose chunks authenticate themselves.
    digest bytea,
    -- Fingerprint of the key; null for plain files.
    key_id text,
    stored_at timestamptz NOT NULL DEFAULT now(),
    touched_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX file_by_name ON parsimony.file (app, name, version DESC) WHERE version IS NOT NULL;
CREATE INDEX file_under_way ON parsimony.file (touched_at) WHERE version IS NULL;

-- No foreign key: it would lock the file's row once per chunk. Chunks are removed in the same statement as
-- their file.
CREATE TABLE parsimony.file_chunk (
    file bigint NOT NULL,
    number integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (file, number)
);

-- Most files are compressed already, and parts of uncompressed values are read without the rest.
ALTER TABLE parsimony.file_chunk ALTER COLUMN data SET STORAGE EXTERNAL;
