-- Requests a second that a token may make. Null: the server's default.
alter table access_token add column rate_per_s integer;
