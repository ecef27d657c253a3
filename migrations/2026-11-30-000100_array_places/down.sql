-- What the first version of the function stored can be read by this one, and the other way round.
SELECT 1;
