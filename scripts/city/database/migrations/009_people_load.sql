-- Loading files. The lines of a CSV come into people.staging (COPY), under the number of
-- a load; then the function for what they are is called. It loads all lines or none:
-- where any is wrong it returns a row for each problem (line 1 is the heading). Where
-- none is, it returns one row with line 0 that says how many rows are new or changed.
-- Loading a file again changes nothing.
--
-- Dates are 2026-12-25 or 25/12/2026, instants a date (its beginning at the office) or
-- RFC 3339. A "to" of a badge or tag is the end: the first instant that does not belong
-- to it. That of a rule is its last day.

-- The cell of a line; null where it is empty.
create function people.cell(cells jsonb, name text) returns text
language sql immutable parallel safe as $$ select nullif(btrim(cells->>name), '') $$;

-- Deletes the lines of a load and says how it went.
create function people.loaded(load uuid, n bigint) returns table (line int, problem text)
language sql as $$
  delete from people.staging s where s.load = $1;
  select 0, format('%s new or changed', $2)
$$;

create function people.load_offices(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; failed bigint;
begin
  return query select s.line, p from people.staging s cross join lateral (select case
      when people.cell(cells, 'dinas') !~ '^[a-z0-9-]{1,32}$' or people.cell(cells, 'dinas') is null then 'dinas is missing or none of a-z, 0-9 and -'
      when people.cell(cells, 'id') !~ '^[a-z0-9-]{1,32}$' or people.cell(cells, 'id') is null then 'id is missing or none of a-z, 0-9 and -'
      when people.cell(cells, 'zone') is not null and not exists (select from pg_timezone_names z where z.name = people.cell(cells, 'zone'))
        then format('zone %s is no time zone: write Asia/Jakarta, Asia/Makassar or Asia/Jayapura', people.cell(cells, 'zone'))
      when count(*) over (partition by people.cell(cells, 'id')) > 1 then format('%s is there twice', people.cell(cells, 'id')) end) x (p)
    where s.load = $1 and p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; return; end if;
  insert into presence.office as o (dinas, gateway, name, zone)
    select people.cell(cells, 'dinas'), people.cell(cells, 'id'), coalesce(people.cell(cells, 'place'), ''), coalesce(people.cell(cells, 'zone'), 'Asia/Jakarta')
    from people.staging s where s.load = $1
    on conflict (dinas, gateway) do update set name = excluded.name, zone = excluded.zone where (o.name, o.zone) <> (excluded.name, excluded.zone);
  get diagnostics n = row_count;
  return query select * from people.loaded(load, n);
end $$;

create function people.load_persons(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; m bigint; failed bigint;
begin
  return query select s.line, p from (select *, count(*) over (partition by people.cell(cells, 'nip')) as times from people.staging s where s.load = $1) s
    cross join lateral (select case
      when coalesce(people.cell(cells, 'nip') !~ '^[0-9A-Za-z._-]{1,32}$', true) then 'nip is missing or no personnel number'
      when people.cell(cells, 'name') is null then 'name is missing'
      when coalesce(people.cell(cells, 'dinas') !~ '^[a-z0-9-]{1,32}$', true) then 'dinas is missing or none of a-z, 0-9 and -'
      when s.times > 1 then format('%s is there twice', people.cell(cells, 'nip'))
      when people.cell(cells, 'office') is not null and not exists (select from presence.office o where o.gateway = people.cell(cells, 'office'))
        then format('office %s is no gateway in the list of offices', people.cell(cells, 'office'))
      when people.cell(cells, 'posts') is not null and exists (select from unnest(string_to_array(people.cell(cells, 'posts'), ' ')) g where not exists (select from presence.office o where o.gateway = g))
        then format('posts %s: not all are gateways in the list of offices', people.cell(cells, 'posts'))
      when people.cell(cells, 'joined_on') is not null and people.read_date(people.cell(cells, 'joined_on')) is null then 'joined_on is no date'
      when people.cell(cells, 'left_on') is not null and people.read_date(people.cell(cells, 'left_on')) is null then 'left_on is no date'
      when people.read_date(people.cell(cells, 'joined_on')) > people.read_date(people.cell(cells, 'left_on')) then 'left_on is before joined_on' end) x (p)
    where p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; return; end if;
  insert into people.person as p (nip, name, dinas, office, joined_on, left_on)
    select people.cell(cells, 'nip'), people.cell(cells, 'name'), people.cell(cells, 'dinas'), people.cell(cells, 'office'),
      people.read_date(people.cell(cells, 'joined_on')), people.read_date(people.cell(cells, 'left_on'))
    from people.staging s where s.load = $1
    on conflict (nip) do update set name = excluded.name, dinas = excluded.dinas, office = excluded.office, joined_on = excluded.joined_on, left_on = excluded.left_on
    where (p.name, p.dinas, p.office, p.joined_on, p.left_on) is distinct from (excluded.name, excluded.dinas, excluded.office, excluded.joined_on, excluded.left_on);
  get diagnostics n = row_count;
  with want as (select people.cell(cells, 'nip') as nip, g as gateway from people.staging s, unnest(string_to_array(people.cell(cells, 'posts'), ' ')) g where s.load = $1),
  gone as (delete from people.post p using people.staging s where s.load = $1 and p.nip = people.cell(cells, 'nip') and (p.nip, p.gateway) not in (select nip, gateway from want) returning 1),
  new as (insert into people.post select nip, gateway from want on conflict do nothing returning 1)
  select (select count(*) from gone) + (select count(*) from new) into m;
  return query select * from people.loaded(load, n + m);
end $$;

create function people.load_badges(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; failed bigint;
begin
  create temporary table coming on commit drop as
    select s.line, people.cell(cells, 'gateway') as gateway, people.cell(cells, 'badge') as badge, people.cell(cells, 'nip') as nip,
      coalesce(people.read_instant(people.cell(cells, 'from'), o.zone), case when people.cell(cells, 'from') is null then timestamptz '-infinity' end) as starts,
      coalesce(people.read_instant(people.cell(cells, 'to'), o.zone), case when people.cell(cells, 'to') is null then timestamptz 'infinity' end) as ends,
      o.gateway is not null as known
    from people.staging s left join presence.office o on o.gateway = people.cell(cells, 'gateway') where s.load = $1;
  create index on pg_temp.coming (gateway, badge);
  analyze pg_temp.coming;
  return query select c.line, p from pg_temp.coming c cross join lateral (select case
      when not c.known then format('gateway %s is not in the list of offices', coalesce(c.gateway, '(missing)'))
      when coalesce(c.badge !~ '^(h:[0-9a-f]{32}|([0-9A-F]{8}|[0-9A-F]{14}|[0-9A-F]{20}))$', true) then 'badge is missing or no identity of a card'
      when not exists (select from people.person e where e.nip = c.nip) then format('nobody has the nip %s: load persons first', coalesce(c.nip, '(missing)'))
      when c.starts is null then 'from is no instant'
      when c.ends is null then 'to is no instant'
      when c.starts >= c.ends then 'to is not after from'
      when exists (select from pg_temp.coming d where (d.gateway, d.badge) = (c.gateway, c.badge) and d.line <> c.line and d.starts < c.ends and c.starts < d.ends)
        then 'another line gives this badge to somebody at the same time'
      else (select format('the badge is %s''s at that time: end that first, with a line that has its "to"', b.nip) from people.badge b
        where (b.gateway, b.badge) = (c.gateway, c.badge) and b.during && tstzrange(c.starts, c.ends)
          and not exists (select from pg_temp.coming d where (d.gateway, d.badge, d.nip) = (b.gateway, b.badge, b.nip) and d.starts = lower(b.during)) limit 1) end) x (p)
    where p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; drop table pg_temp.coming; return; end if;
  -- Ends first, so that no two rows overlap in between.
  delete from people.badge b using pg_temp.coming c
    where (b.gateway, b.badge, b.nip) = (c.gateway, c.badge, c.nip) and lower(b.during) = c.starts and b.during <> tstzrange(c.starts, c.ends);
  insert into people.badge (gateway, badge, nip, during)
    select c.gateway, c.badge, c.nip, tstzrange(c.starts, c.ends) from pg_temp.coming c
    where not exists (select from people.badge b where (b.gateway, b.badge, b.nip) = (c.gateway, c.badge, c.nip) and b.during = tstzrange(c.starts, c.ends));
  get diagnostics n = row_count;
  drop table pg_temp.coming;
  return query select * from people.loaded(load, n);
end $$;

create function people.load_tags(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; failed bigint;
begin
  create temporary table coming on commit drop as
    select s.line, people.cell(cells, 'tag') as tag, people.cell(cells, 'nip') as nip,
      coalesce(people.read_instant(people.cell(cells, 'from'), z.zone), case when people.cell(cells, 'from') is null then timestamptz '-infinity' end) as starts,
      coalesce(people.read_instant(people.cell(cells, 'to'), z.zone), case when people.cell(cells, 'to') is null then timestamptz 'infinity' end) as ends
    from people.staging s
    left join people.person p on p.nip = people.cell(cells, 'nip')
    cross join lateral (select coalesce((select o.zone from presence.office o where o.dinas = p.dinas order by o.gateway <> p.office limit 1), 'Asia/Jakarta') as zone) z
    where s.load = $1;
  return query select c.line, p from pg_temp.coming c cross join lateral (select case
      when coalesce(c.tag !~ '^(mesh|idas|kenwood|reyax|waypoint):.+$', true) then 'tag is missing or no tag''s name, such as reyax:50'
      when not exists (select from people.person e where e.nip = c.nip) then format('nobody has the nip %s: load persons first', coalesce(c.nip, '(missing)'))
      when c.starts is null then 'from is no instant'
      when c.ends is null then 'to is no instant'
      when c.starts >= c.ends then 'to is not after from'
      when exists (select from pg_temp.coming d where d.tag = c.tag and d.line <> c.line and d.starts < c.ends and c.starts < d.ends)
        then 'another line gives this tag to somebody at the same time'
      else (select format('the tag is %s''s at that time: end that first, with a line that has its "to"', b.nip) from people.tag b
        where b.tag = c.tag and b.during && tstzrange(c.starts, c.ends)
          and not exists (select from pg_temp.coming d where (d.tag, d.nip) = (b.tag, b.nip) and d.starts = lower(b.during)) limit 1) end) x (p)
    where p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; drop table pg_temp.coming; return; end if;
  delete from people.tag b using pg_temp.coming c
    where (b.tag, b.nip) = (c.tag, c.nip) and lower(b.during) = c.starts and b.during <> tstzrange(c.starts, c.ends);
  insert into people.tag (tag, nip, during)
    select c.tag, c.nip, tstzrange(c.starts, c.ends) from pg_temp.coming c
    where not exists (select from people.tag b where (b.tag, b.nip) = (c.tag, c.nip) and b.during = tstzrange(c.starts, c.ends));
  get diagnostics n = row_count;
  drop table pg_temp.coming;
  return query select * from people.loaded(load, n);
end $$;

create function people.load_notes(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; failed bigint;
begin
  return query select s.line, p from (select *, count(*) over (partition by people.cell(cells, 'nip'), people.read_date(people.cell(cells, 'day')), people.cell(cells, 'kind')) as times
      from people.staging s where s.load = $1) s
    cross join lateral (select case
      when not exists (select from people.person e where e.nip = people.cell(cells, 'nip')) then format('nobody has the nip %s', coalesce(people.cell(cells, 'nip'), '(missing)'))
      when people.read_date(people.cell(cells, 'day')) is null then 'day is missing or no date'
      when coalesce(people.cell(cells, 'kind') not in ('cuti', 'dinas-luar', 'sakit', 'wfa', 'manual-in', 'manual-out', 'accepted'), true)
        then 'kind is none of cuti, dinas-luar, sakit, wfa, manual-in, manual-out, accepted'
      when (people.cell(cells, 'kind') like 'manual-%') <> coalesce(people.cell(cells, 'at') ~ '^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$', false)
        then 'at is a time of day such as 07:25, for manual-in and manual-out and for nothing else'
      when people.cell(cells, 'by') is null then 'by is missing: who says so'
      when people.cell(cells, 'why') is null then 'why is missing'
      when s.times > 1 then 'the same note is there twice' end) x (p)
    where p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; return; end if;
  insert into people.note as o (nip, day, kind, at, by, why)
    select people.cell(cells, 'nip'), people.read_date(people.cell(cells, 'day')), people.cell(cells, 'kind'), people.cell(cells, 'at')::time, people.cell(cells, 'by'), people.cell(cells, 'why')
    from people.staging s where s.load = $1
    on conflict (nip, day, kind) do update set at = excluded.at, by = excluded.by, why = excluded.why, written = now()
    where (o.at, o.by, o.why) is distinct from (excluded.at, excluded.by, excluded.why);
  get diagnostics n = row_count;
  return query select * from people.loaded(load, n);
end $$;

create function people.load_rules(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; failed bigint;
begin
  create temporary table coming on commit drop as
    select s.line, coalesce(people.cell(cells, 'dinas'), '*') as dinas, people.cell(cells, 'kind') as kind, people.cell(cells, 'from_s') as from_s,
      replace(people.cell(cells, 'percent'), ',', '.') as percent,
      case when people.cell(cells, 'from') is null then date '-infinity' else people.read_date(people.cell(cells, 'from')) end as starts,
      case when people.cell(cells, 'to') is null then date 'infinity' else people.read_date(people.cell(cells, 'to')) end as ends
    from people.staging s where s.load = $1;
  return query select c.line, p from pg_temp.coming c cross join lateral (select case
      when c.dinas !~ '^([a-z0-9-]{1,32}|\*)$' then 'dinas is none of a-z, 0-9 and -, nor * for all'
      when coalesce(c.kind not in ('late', 'early', 'absent'), true) then 'kind is none of late, early, absent'
      when coalesce(c.from_s !~ '^\d{1,6}$', true) or (c.kind = 'absent') <> (c.from_s::int = 0) then 'from_s is a number of seconds, from 1 on; 0 for absent'
      when coalesce(c.percent !~ '^\d{1,3}(\.\d{1,3})?$', true) then 'percent is missing or no number'
      when c.starts is null or c.ends is null then 'from or to is no date'
      when c.starts > c.ends then 'to is before from'
      when exists (select from pg_temp.coming d where (d.dinas, d.kind, d.from_s) = (c.dinas, c.kind, c.from_s) and d.line <> c.line and d.starts <= c.ends and c.starts <= d.ends)
        then 'another line has this rule for some of the same days'
      when exists (select from people.rule r where (r.dinas, r.kind) = (c.dinas, c.kind) and r.from_s = c.from_s::int and r.during && daterange(c.starts, c.ends, '[]')
          and not exists (select from pg_temp.coming d where (d.dinas, d.kind) = (r.dinas, r.kind) and d.from_s = r.from_s::text and d.starts = coalesce(lower(r.during), '-infinity')))
        then 'there is a rule for some of these days: end that first, with a line that has its "to"' end) x (p)
    where p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; drop table pg_temp.coming; return; end if;
  delete from people.rule r using pg_temp.coming c
    where (r.dinas, r.kind) = (c.dinas, c.kind) and r.from_s = c.from_s::int and coalesce(lower(r.during), '-infinity') = c.starts
      and (r.during, r.percent) <> (daterange(c.starts, c.ends, '[]'), c.percent::numeric);
  insert into people.rule (dinas, kind, from_s, percent, during)
    select c.dinas, c.kind, c.from_s::int, c.percent::numeric, daterange(c.starts, c.ends, '[]') from pg_temp.coming c
    where not exists (select from people.rule r where (r.dinas, r.kind) = (c.dinas, c.kind) and r.from_s = c.from_s::int and r.during = daterange(c.starts, c.ends, '[]'));
  get diagnostics n = row_count;
  drop table pg_temp.coming;
  return query select * from people.loaded(load, n);
end $$;

create function people.load_outages(load uuid) returns table (line int, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare n bigint; failed bigint;
begin
  create temporary table coming on commit drop as
    select s.line, people.cell(cells, 'gateway') as gateway, people.read_instant(people.cell(cells, 'from'), o.zone) as starts,
      people.read_instant(people.cell(cells, 'to'), o.zone) as ends, people.cell(cells, 'why') as why, people.cell(cells, 'by') as by
    from people.staging s left join presence.office o on o.gateway = people.cell(cells, 'gateway') where s.load = $1;
  return query select c.line, p from pg_temp.coming c cross join lateral (select case
      when not exists (select from presence.office o where o.gateway = c.gateway) then format('gateway %s is not in the list of offices', coalesce(c.gateway, '(missing)'))
      when c.starts is null or c.ends is null then 'from or to is missing or no instant'
      when c.starts >= c.ends then 'to is not after from'
      when c.why is null then 'why is missing'
      when c.by is null then 'by is missing: who says so'
      when exists (select from pg_temp.coming d where (d.gateway, d.starts, d.ends) = (c.gateway, c.starts, c.ends) and d.line <> c.line) then 'the same outage is there twice' end) x (p)
    where p is not null order by 1;
  get diagnostics failed = row_count;
  if failed > 0 then delete from people.staging s where s.load = $1; drop table pg_temp.coming; return; end if;
  insert into people.outage as o (gateway, during, why, by) select c.gateway, tstzrange(c.starts, c.ends), c.why, c.by from pg_temp.coming c
    on conflict (gateway, during) do update set why = excluded.why, by = excluded.by where (o.why, o.by) <> (excluded.why, excluded.by);
  get diagnostics n = row_count;
  drop table pg_temp.coming;
  return query select * from people.loaded(load, n);
end $$;

-- Loads a document with hours: what gateways get as policy/hours, for one gateway, a
-- department (gateway '') or the city (both ''), in force from a day on. Returns what is
-- wrong with it, null where it was loaded.
create function people.load_hours(dinas text, gateway text, since date, body jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare problem text := people.hours_problem(body);
begin
  if problem is not null then return problem; end if;
  insert into people.hours as h (dinas, gateway, since, body) values ($1, $2, $3, $4)
    on conflict on constraint hours_pkey do update set body = excluded.body, loaded = now(), by = session_user where h.body <> excluded.body;
  return null;
end $$;
