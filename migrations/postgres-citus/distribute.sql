-- Spreads fieldvitals' tables over the nodes of a Citus cluster, by site; run once on the coordinator, after
-- `fieldvitals migrate`. Tables that hold data already are moved. The rest (sites, keys, tokens and what
-- maintenance keeps) are few rows and stay on the coordinator. Partitions that are made later follow
-- page_view by themselves.

-- A group of their own: in one with tables of others, each would wait for the other's changes of tables.
select create_distributed_table('route', 'site_id', colocate_with => 'none');
select create_distributed_table('label', 'site_id', colocate_with => 'route');
select create_distributed_table('page_view', 'site_id', colocate_with => 'route');
select create_distributed_table('context_text', 'site_id', colocate_with => 'route');
select create_distributed_table('context_text_doubt', 'site_id', colocate_with => 'route');
select create_distributed_table('load_cursor', 'site_id', colocate_with => 'route');
select create_distributed_table('rollup_delta', 'site_id', colocate_with => 'route');
select create_distributed_table('rollup_hour', 'site_id', colocate_with => 'route');
select create_distributed_table('rollup_day', 'site_id', colocate_with => 'route');
select create_distributed_table('violation', 'site_id', colocate_with => 'route');

-- What was moved is still on the coordinator's disk, where nobody sees it and no erasure would find it.
select truncate_local_data_after_distributing_table(moved) from unnest('{route, label, page_view, context_text,
    context_text_doubt, load_cursor, rollup_delta, rollup_hour, rollup_day, violation}'::regclass[]) moved;
