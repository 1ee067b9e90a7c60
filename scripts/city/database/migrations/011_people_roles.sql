-- Who may do what. The functions run as people_owner, which owns everything here and
-- reads of schema presence what they need. The personnel office executes functions, and
-- reads no table of this schema.
do $$
declare r record;
begin
  execute format('grant people_owner to %I', current_user); -- else nobody but a superuser could give it tables
  for r in select c.oid::regclass as name, c.relkind from pg_class c where c.relnamespace = 'people'::regnamespace and c.relkind in ('r', 'v') loop
    execute format('alter table %s owner to people_owner', r.name);
  end loop;
  for r in select p.oid::regprocedure as name from pg_proc p where p.pronamespace = 'people'::regnamespace and p.proname not like 'gbt%'
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') loop
    execute format('alter function %s owner to people_owner', r.name);
    execute format('revoke execute on function %s from public', r.name);
  end loop;
end $$;
alter schema people owner to people_owner;

grant usage on schema presence to people_owner;
grant select on presence.latest, presence.stream, presence.hole, presence.office to people_owner;
grant insert, update on presence.office to people_owner;
grant execute on function presence.last_known, presence.erase to people_owner;

grant insert on people.staging to presence_personnel;
grant execute on function people.load_offices, people.load_persons, people.load_badges, people.load_tags, people.load_notes, people.load_rules,
  people.load_outages, people.load_hours, people.read_days, people.read_disputes, people.read_undated, people.read_taps, people.read_recap,
  people.unknown_badges, people.report_today to presence_personnel;
