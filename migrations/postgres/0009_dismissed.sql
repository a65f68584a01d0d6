-- Somebody dismissed the violation: it is not among the open ones until its budget has been kept once.
alter table violation add column dismissed_ms bigint;
-- The name of a token.
alter table violation add column dismissed_by text;
