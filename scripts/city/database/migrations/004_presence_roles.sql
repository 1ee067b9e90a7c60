-- Who may do what. None of these roles can log in: the DBA makes logins and grants them
-- one of these (DATABASE.md). Roles belong to the whole cluster, so they may be there.
do $$
declare
  r text;
begin
  foreach r in array array['presence_recorder', 'presence_analyst', 'presence_personnel', 'presence_grafana'] loop
    begin
      if to_regrole(r) is null then
        execute format('create role %I nologin', r);
      end if;
    exception when duplicate_object or unique_violation then null; -- another database of this cluster was faster
    end;
  end loop;
end $$;

revoke all on schema presence from public;
revoke all on all tables in schema presence from public;
-- PostgreSQL lets everybody call a new function.
revoke execute on all functions in schema presence from public;
grant usage on schema presence to presence_recorder, presence_analyst, presence_personnel, presence_grafana;
grant select on presence.schema_version to presence_recorder, presence_analyst, presence_personnel, presence_grafana;

-- The recorder writes through functions only, and reads no person's data.
grant execute on function presence.ingest, presence.refuse, presence.take_over, presence.lead, presence.make_days, presence.drop_old_days,
  presence.holes_to_ask to presence_recorder;
grant select on presence.hole, presence.loss, presence.gateway_state, presence.office, presence.leader to presence_recorder;
-- Views read tables as their owner, but call functions as who asks.
grant execute on function presence.last_known to presence_recorder, presence_analyst, presence_personnel, presence_grafana;

-- Pseudonyms: badge and tag numbers, no names.
grant select on presence.latest, presence.hole, presence.loss, presence.gateway_state, presence.office to presence_analyst, presence_personnel;

-- Dashboards of the fleet: no badge and no tag.
grant select on presence.hole, presence.loss, presence.gateway_state, presence.office to presence_grafana;
