DROP TABLE parsimony.file_chunk;
DROP TABLE parsimony.file;
DROP SEQUENCE parsimony.file_version;
