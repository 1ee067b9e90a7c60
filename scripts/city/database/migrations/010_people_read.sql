-- What the personnel office asks. Each of these writes down who asked, and whose names
-- he has read.

-- The first and the last tap of each person and day, as far as it is known when they
-- were, with the quality of that, its error, and where it was.
create function people.ends_of_days(first_day date, last_day date, only_dinas text, only_nip text)
returns table (nip text, day date, first_at timestamp, first_quality text, first_error_ms real, first_gateway text,
  last_at timestamp, last_quality text, last_error_ms real, last_gateway text)
language sql stable set work_mem = '128MB' set jit = off as $$
  with tap as materialized (
    select t.nip, (t.at - s.day_starts)::date as day, t.at, t.quality, t.error_ms, t.gateway
    from people.taps(first_day, last_day) t join people.person p using (nip), people.setting s
    where s.during @> first_day and t.at is not null and t.mine and (only_dinas is null or p.dinas = only_dinas) and (only_nip is null or t.nip = only_nip)),
  a as (select distinct on (nip, day) * from tap order by nip, day, at),
  b as (select distinct on (nip, day) * from tap order by nip, day, at desc)
  select a.nip, a.day, a.at, a.quality, a.error_ms, a.gateway, b.at, b.quality, b.error_ms, b.gateway
  from a join b on (b.nip, b.day) = (a.nip, a.day)
$$;

-- Days of persons, see people.days; with names, and with the first and last tap.
create function people.read_days(first_day date, last_day date, only_dinas text default null, only_nip text default null)
returns table (day date, dinas text, nip text, name text, opens timestamp, closes timestamp,
  first_at timestamp, first_quality text, first_error_ms real, first_gateway text, last_at timestamp, last_quality text, last_error_ms real, last_gateway text,
  taps int, late_s int, late_worst_s int, early_s int, early_worst_s int, contradiction_min int, verdict text, why text[], percent numeric, percent_worst numeric)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform people.log_access('days', only_dinas, only_nip, first_day, last_day);
  return query select d.day, d.dinas, d.nip, p.name, d.opens, d.closes, e.first_at, e.first_quality, e.first_error_ms, e.first_gateway,
      e.last_at, e.last_quality, e.last_error_ms, e.last_gateway,
      d.taps, d.late_s, d.late_worst_s, d.early_s, d.early_worst_s, d.contradiction_min, d.verdict, d.why, d.percent, d.percent_worst
    from people.days(first_day, last_day, only_dinas, only_nip) d join people.person p on p.nip = d.nip
    left join people.ends_of_days(first_day, last_day, only_dinas, only_nip) e on (e.nip, e.day) = (d.nip, d.day)
    order by d.dinas, p.name, d.nip, d.day;
end $$;

-- The days that evidence does not decide. Of late_s and so on those without _worst are
-- the person's better end.
create function people.read_disputes(first_day date, last_day date, only_dinas text default null)
returns table (day date, dinas text, nip text, name text, office text, opens timestamp, closes timestamp, first_lo timestamp, first_hi timestamp, last_lo timestamp, last_hi timestamp,
  late_s int, late_worst_s int, early_s int, early_worst_s int, contradiction_min int, why text[], percent numeric, percent_worst numeric)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform people.log_access('disputes', only_dinas, null, first_day, last_day);
  return query select d.day, d.dinas, d.nip, p.name, d.office, d.opens, d.closes, d.first_lo, d.first_hi, d.last_lo, d.last_hi,
      d.late_s, d.late_worst_s, d.early_s, d.early_worst_s, d.contradiction_min, d.why, d.percent, d.percent_worst
    from people.days(first_day, last_day, only_dinas) d join people.person p on p.nip = d.nip
    where d.verdict = 'check' order by d.dinas, d.day, p.name, d.nip;
end $$;

-- Taps of persons of which nobody knows when they were: they belong to no day. With the
-- bounds that their neighbours give.
create function people.read_undated(first_day date, last_day date, only_dinas text default null)
returns table (dinas text, nip text, name text, gateway text, event text, earliest timestamp, latest timestamp)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform people.log_access('undated taps', only_dinas, null, first_day, last_day);
  return query select p.dinas, p.nip, p.name, t.gateway, t.stream || '-' || t.seq, t.lo, t.hi
    from people.taps(first_day, last_day) t join people.person p on p.nip = t.nip
    where t.at is null and (only_dinas is null or p.dinas = only_dinas) order by 1, 3, 2, t.lo, t.stream, t.seq;
end $$;

-- Everything about one person: each tap that can have been his or hers.
create function people.read_taps(only_nip text, first_day date, last_day date)
returns table (at timestamp, quality text, error_ms real, lo timestamp, hi timestamp, gateway text, event text, rev int, surely_theirs boolean, doubt text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform people.log_access('taps', null, only_nip, first_day, last_day);
  return query select t.at, t.quality, t.error_ms, t.lo, t.hi, t.gateway, t.stream || '-' || t.seq, t.rev, t.mine, t.doubt
    from people.taps(first_day, last_day) t where t.nip = only_nip order by t.lo, t.stream, t.seq;
end $$;

-- The recap of a month for the allowance: a row for each person. Days of which evidence
-- does not decide are counted as check and nowhere else, and percent is without them:
-- they can add check_percent to check_percent_worst. day_now: the month's days from this
-- one on have not happened yet.
create function people.recap(month date, only_dinas text default null, day_now date default current_date)
returns table (dinas text, nip text, name text, days int, ok int, late int, late_s bigint, early int, early_s bigint, absent int,
  cuti int, dinas_luar int, sakit int, wfa int, checks int, contradiction_min bigint, percent numeric, check_percent numeric, check_percent_worst numeric, why text[])
language sql stable set work_mem = '128MB' set jit = off as $$
  with d as materialized (
    select * from people.days(date_trunc('month', month)::date,
      least((date_trunc('month', month) + interval '1 month')::date, day_now) - 1, only_dinas)),
  reasons as (select d.nip, array_agg(distinct w order by w) as why from d, unnest(d.why) w group by 1)
  select p.dinas, p.nip, p.name, count(*)::int, (count(*) filter (where verdict = 'ok'))::int,
    (count(*) filter (where verdict in ('late', 'late-early')))::int, coalesce(sum(d.late_s) filter (where verdict in ('late', 'late-early')), 0),
    (count(*) filter (where verdict in ('early', 'late-early')))::int, coalesce(sum(d.early_s) filter (where verdict in ('early', 'late-early')), 0),
    (count(*) filter (where verdict = 'absent'))::int,
    (count(*) filter (where verdict = 'cuti'))::int, (count(*) filter (where verdict = 'dinas-luar'))::int,
    (count(*) filter (where verdict = 'sakit'))::int, (count(*) filter (where verdict = 'wfa'))::int,
    (count(*) filter (where verdict = 'check'))::int, sum(d.contradiction_min),
    coalesce(sum(d.percent) filter (where verdict <> 'check'), 0),
    coalesce(sum(d.percent) filter (where verdict = 'check'), 0), coalesce(sum(d.percent_worst) filter (where verdict = 'check'), 0),
    coalesce(min(r.why), '{}')
  from d join people.person p on p.nip = d.nip left join reasons r on r.nip = d.nip
  group by p.dinas, p.nip, p.name order by p.dinas, p.name, p.nip
$$;

create function people.read_recap(month date, only_dinas text default null, day_now date default current_date)
returns table (dinas text, nip text, name text, days int, ok int, late int, late_s bigint, early int, early_s bigint, absent int,
  cuti int, dinas_luar int, sakit int, wfa int, checks int, contradiction_min bigint, percent numeric, check_percent numeric, check_percent_worst numeric, why text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform people.log_access('recap', only_dinas, null, date_trunc('month', month)::date, (date_trunc('month', month) + interval '1 month')::date - 1);
  return query select * from people.recap(month, only_dinas, day_now);
end $$;

-- Badges that were shown, and that the table of badges gives to nobody at that time.
create function people.unknown_badges(first_day date, last_day date)
returns table (dinas text, gateway text, badge text, taps bigint, first_at timestamp, last_at timestamp)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select l.dinas, l.gateway, l.badge, count(*), min(l.at at time zone o.zone), max(l.at at time zone o.zone)
  from presence.latest l join presence.office o on (o.dinas, o.gateway) = (l.dinas, l.gateway)
  where l.kind = 'badge' and l.badge is not null and l.received >= first_day - 1
    and (l.at at time zone o.zone)::date between first_day and last_day
    and not exists (select from people.badge b where (b.gateway, b.badge) = (l.gateway, l.badge) and b.during @> l.at)
  group by 1, 2, 3 order by 1, 2, 4 desc
$$;

-- A small report of one day for reading: who has come, who is late, what is to be
-- checked, and whether the record is whole.
create function people.report_today(today date default null) returns table (line text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare d record; n bigint; of_offices bigint;
begin
  today := coalesce(today, (now() at time zone coalesce((select o.zone from presence.office o order by o.dinas, o.gateway limit 1), 'Asia/Jakarta'))::date);
  perform people.log_access('report', null, null, today, today);
  line := format('Attendance on %s', to_char(today, 'DD/MM/YYYY')); return next;
  create temporary table of_today on commit drop as
    select x.*, p.name, e.first_at, e.first_quality, e.first_error_ms from people.days(today, today) x join people.person p on p.nip = x.nip
    left join people.ends_of_days(today, today, null, null) e on e.nip = x.nip and e.day = today;
  if not exists (select from pg_temp.of_today) then line := '  nobody works on this day by the hours that are loaded'; return next; end if;
  for d in select t.dinas, count(*) as people, count(*) filter (where t.taps > 0) as came,
      count(*) filter (where t.taps > 0 and t.late_rule > 0 and t.late_rule = t.late_rule_worst) as late,
      count(*) filter (where t.taps > 0 and t.note is null and t.late_rule is distinct from t.late_rule_worst) as checks,
      count(*) filter (where t.note is not null) as noted
      from pg_temp.of_today t group by 1 order by 1 loop
    line := format('  %-12s %s people, %s came, %s of them late, %s to be checked, %s excused, %s not seen', d.dinas, d.people, d.came, d.late, d.checks, d.noted,
      d.people - d.came - d.noted); return next;
  end loop;
  for d in select * from pg_temp.of_today t where t.taps > 0 and t.note is null and (t.late_rule > 0 or t.late_rule is distinct from t.late_rule_worst)
      order by t.late_rule is distinct from t.late_rule_worst, t.late_s desc, t.nip limit 12 loop
    line := format('  %-8s %s %s came %s (%s, within %s ms), %s s late%s', case when d.late_rule is distinct from d.late_rule_worst then 'check' else 'late' end, d.nip, d.name,
      coalesce(to_char(d.first_at, 'HH24:MI:SS'), 'at an unknown time'), coalesce(d.first_quality, 'unsynced'), coalesce(round(d.first_error_ms::numeric, 1)::text, '?'), d.late_s,
      case when d.late_rule is distinct from d.late_rule_worst then format(' to %s s: %s', d.late_worst_s, array_to_string(d.why, ', ')) else '' end); return next;
  end loop;
  select count(*), count(distinct (u.gateway)) into n, of_offices from people.unknown_badges(today, today) u;
  line := format('  %s badges that are nobody''s, at %s gateways', n, of_offices); return next;
  select count(*) into n from presence.hole;
  line := format('  %s holes%s', n, case when n = 0 then ': every event that a gateway has spoken of is here' else '' end); return next;
  drop table pg_temp.of_today;
end $$;

-- Erases a person: name, badges, tags and notes here, and each event of these badges and
-- tags in schema presence, whose numbers stay as erased. Returns how many events went.
-- Only who owns the schemas may. What the log says of who read this person's name stays,
-- without the number.
create function people.erase(erased_nip text, why text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare n bigint := 0; a record;
begin
  if not exists (select from people.person p where p.nip = erased_nip) then
    raise exception 'nobody has the personnel number %', erased_nip using errcode = 'no_data_found';
  end if;
  if coalesce(btrim(why), '') = '' then
    raise exception 'an erasure needs a reason' using errcode = 'invalid_parameter_value';
  end if;
  select array_agg(gateway) as gateways, array_agg(badge) as badges, array_agg(tag) as tags, array_agg(lower(during)) as since, array_agg(upper(during)) as until into a
  from (select b.gateway, b.badge, null::text as tag, b.during from people.badge b where b.nip = erased_nip
    union all select null, null, t.tag, t.during from people.tag t where t.nip = erased_nip) x;
  if a.gateways is not null then
    n := presence.erase(a.gateways, a.badges, a.tags, a.since, a.until);
  end if;
  delete from people.person p where p.nip = erased_nip;
  update people.access x set nip = 'erased' where x.nip = erased_nip;
  perform people.log_access('erase', null, 'erased', null, null, why);
  return n;
end $$;
