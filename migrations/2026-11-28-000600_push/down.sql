DROP TABLE parsimony.push_delivery;
DROP TABLE parsimony.push_open;
DROP TABLE parsimony.push;
DELETE FROM parsimony.work WHERE queue LIKE 'push:%' OR queue = 'push-receipt';
