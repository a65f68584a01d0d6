-- Spreads fieldvitals' tables over the nodes of a Citus cluster, by site; run once on the coordinator, after
-- `fieldvitals migrate`. Tables that hold data already are moved. The rest (sites, keys, tokens and what
-- maintenance keeps) are few rows and stay on the coordinator. Partitions that are made later follow
-- page_view by themselves.
select create_distributed_table('route', 'site_id');
select create_distributed_table('label', 'site_id', colocate_with => 'route');
select create_distributed_table('page_view', 'site_id', colocate_with => 'route');
select create_distributed_table('context_text', 'site_id', colocate_with => 'route');
select create_distributed_table('context_text_doubt', 'site_id', colocate_with => 'route');
select create_distributed_table('load_cursor', 'site_id', colocate_with => 'route');
select create_distributed_table('rollup_delta', 'site_id', colocate_with => 'route');
select create_distributed_table('rollup_hour', 'site_id', colocate_with => 'route');
select create_distributed_table('rollup_day', 'site_id', colocate_with => 'route');
select create_distributed_table('violation', 'site_id', colocate_with => 'route');
