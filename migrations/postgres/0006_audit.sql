-- Changes of settings: who, what and when (store::AuditEntry).
create table audit (
    audit_id bigint generated always as identity primary key,
    at_ms bigint not null,
    actor text not null,
    action text not null,
    target text not null,
    -- JSON, null if there are no settings.
    settings_before text,
    settings_after text
);
