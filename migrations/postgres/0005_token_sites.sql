-- The sites that a token is limited to: a JSON list of their ids. Null: every site.
alter table api_token add column sites text;

-- A new name: a process of the release before, which would let a limited token read every site, then fails to read
-- tokens and keeps those that it knows.
alter table api_token rename to access_token;
