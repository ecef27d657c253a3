SELECT parsimony.live_capture_stop();
DROP FUNCTION parsimony.live_capture_stop();
DROP FUNCTION parsimony.live_capture_start(text, text);
DROP FUNCTION parsimony.live_changed();
DROP TABLE parsimony.live_capture;
DROP TABLE parsimony.live_log;
