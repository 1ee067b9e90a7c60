-- The rules of a kind on a day: from how many seconds, and how much percent. Where there
-- are none every whole second counts, and costs nothing.
create function people.tiers(kind text, dinas text, day date) returns table (from_s int[], percent numeric[])
language sql stable as $$
  with own as (
    select r.* from people.rule r where r.kind = $1 and r.during @> $3 and r.dinas = case
      when exists (select from people.rule x where (x.kind, x.dinas) = ($1, $2) and x.during @> $3) then $2 else '*' end)
  select coalesce(array_agg(o.from_s order by o.from_s), '{1}'), coalesce(array_agg(o.percent order by o.from_s), '{0}') from own o
$$;

create function people.dates(first date, last date) returns setof date
language sql immutable parallel safe as $$ select generate_series(first::timestamp, last::timestamp, interval '1 day')::date $$;

-- Whole seconds between two instants, not below 0: cut off, as a clock shows them.
create function people.seconds(a timestamp, b timestamp) returns int
language sql immutable parallel safe as $$ select greatest(floor(extract(epoch from b - a)), 0)::int $$;

-- What evidence says of each person and working day, and whether it decides.
--
-- first_lo and first_hi are the bounds of the first tap, last_lo and last_hi those of the
-- last one, over all gateways, by the wall clock of the office; best is the person's
-- better end, worst the other. Into best goes every tap that can have been the person's
-- on this day, and every outage at which an arrival or a leaving can have been missed;
-- into worst only what is certain. The verdict of a day is which rules apply. If the same
-- apply at both ends it is decided: ok, late, early, late-early, absent, or the note that
-- excuses the day. If not it is check, and why says what leaves it open. All columns
-- without _worst are of the better end.
create function people.days(first_day date, last_day date, only_dinas text default null, only_nip text default null)
returns table (day date, dinas text, nip text, office text, opens timestamp, closes timestamp, taps int,
  first_lo timestamp, first_hi timestamp, last_lo timestamp, last_hi timestamp,
  late_s int, late_worst_s int, early_s int, early_worst_s int, contradiction_min int, note text,
  verdict text, why text[], late_rule int, late_rule_worst int, early_rule int, early_rule_worst int, percent numeric, percent_worst numeric)
language plpgsql stable set search_path = people, pg_catalog, pg_temp set work_mem = '128MB' set jit = off set enable_nestloop = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare setting people.setting := (select s from people.setting s where s.during @> first_day);
begin
  -- The planner takes what is found for a handful of rows, and then compares each with
  -- each. For one person that is right.
  perform set_config('enable_nestloop', case when only_nip is null then 'off' else 'on' end, true);
  return query
  with persons as materialized (
    select p.nip, p.dinas, coalesce(p.office, '') as office, coalesce(p.joined_on, '-infinity') as joined_on, coalesce(p.left_on, 'infinity') as left_on
    from people.person p
    where (only_dinas is null or p.dinas = only_dinas) and (only_nip is null or p.nip = only_nip)
      and coalesce(p.joined_on, '-infinity') <= last_day and coalesce(p.left_on, 'infinity') >= first_day),
  -- Few documents and rules hold for many: each is worked out once a day.
  place as materialized (
    select w.dinas, w.office, d as day, people.hours_of(w.dinas, w.office, d) as body
    from (select distinct p.dinas, p.office from persons p) w cross join people.dates(first_day, last_day) d),
  working as materialized (
    select w.dinas, w.office, w.day, s.spans, lower(s.spans) as opens, upper(s.spans) as closes, r.late_s, r.late_p, r.early_s, r.early_p, r.absent_p
    from place w
    join (select x.body, x.day, people.spans_of(x.body, x.day) as spans from (select distinct coalesce(p.body, 'null') as body, p.day from place p) x offset 0) s
      on s.body = coalesce(w.body, 'null') and s.day = w.day
    join (select x.dinas, x.day, late.from_s as late_s, late.percent as late_p, early.from_s as early_s, early.percent as early_p, absent.percent[1] as absent_p
      from (select distinct p.dinas, p.day from place p) x
      cross join lateral people.tiers('late', x.dinas, x.day) late
      cross join lateral people.tiers('early', x.dinas, x.day) early
      cross join lateral people.tiers('absent', x.dinas, x.day) absent offset 0) r on (r.dinas, r.day) = (w.dinas, w.day)
    where not isempty(s.spans)),
  tap as materialized (
    select t.nip, nullif(t.gateway, p.office) as elsewhere, t.rev, t.quality, t.lo, t.hi, t.mine, t.doubt,
      (t.lo - setting.day_starts)::date as a, (t.hi - setting.day_starts)::date as b
    from people.taps(first_day, last_day) t join persons p on p.nip = t.nip),
  -- A tap that can have been on several days is certain on none of them.
  placed as materialized (
    select t.nip, t.a as day, t.elsewhere, t.rev, t.quality, t.lo, t.hi, t.doubt, t.mine, true as whole,
      t.mine and t.doubt is null and t.quality <> 'unsynced' as sure
    from tap t where t.a = t.b
    union all
    select t.nip, d, t.elsewhere, t.rev, t.quality, greatest(t.lo, d + setting.day_starts),
      least(t.hi, d + setting.day_starts + interval '1 day' - interval '1 us'), t.doubt, t.mine, false, false
    from tap t, people.dates(greatest(t.a, first_day), least(t.b, last_day)) d where t.a <> t.b),
  tapped as (
    select p.nip, p.day, count(*)::int as n, min(p.lo) as first_lo, min(p.hi) filter (where p.sure) as first_hi,
      max(p.lo) filter (where p.sure) as last_lo, max(p.hi) as last_hi
    from placed p group by 1, 2),
  noted as (
    select n.nip, n.day, min(n.kind) filter (where n.at is null and n.kind <> 'accepted') as excuse,
      bool_or(n.kind = 'accepted') as accepted,
      min(n.day + n.at) filter (where n.kind = 'manual-in') as came, min(n.day + n.at) filter (where n.kind = 'manual-out') as left
    from people.note n where n.day between first_day and last_day group by 1, 2),
  -- Outages, cut into days, and whom they can have hit: who works there, and who was there.
  works as materialized (
    select p.nip, p.office as gateway from persons p where p.office <> ''
    union select o.nip, o.gateway from people.post o where o.nip in (select p.nip from persons p)
    union select p.nip, f.gateway from persons p join presence.office f on f.dinas = p.dinas
      where p.office = '' and not exists (select from people.post o where o.nip = p.nip)),
  out as materialized (
    select o.dinas, o.gateway, d as day, o.reason,
      greatest(o.lo at time zone f.zone, d + setting.day_starts) as lo,
      least(o.hi at time zone f.zone, d + setting.day_starts + interval '1 day') as hi
    from people.outages(first_day, last_day, case when only_dinas is not null or only_nip is not null then
      array(select w.gateway from works w union select p.elsewhere from placed p where p.elsewhere is not null) end) o
    join presence.office f on (f.dinas, f.gateway) = (o.dinas, o.gateway)
    join people.dates(first_day, last_day) d
      on o.lo at time zone f.zone < d + setting.day_starts + interval '1 day' and o.hi at time zone f.zone >= d + setting.day_starts),
  hit as (
    select w.nip, o.day, o.reason, o.lo, o.hi from works w join out o on o.gateway = w.gateway
    union all
    select p.nip, o.day, o.reason, o.lo, o.hi from placed p join out o on (o.gateway, o.day) = (p.elsewhere, p.day) where p.elsewhere is not null),
  person_day as (
    select p.nip, w.*, t.n, t.first_lo, t.first_hi, t.last_lo, t.last_hi, n.excuse, n.accepted, n.came, n.left
    from persons p join working w on (w.dinas, w.office) = (p.dinas, p.office) and w.day between p.joined_on and p.left_on
    left join tapped t on (t.nip, t.day) = (p.nip, w.day)
    left join noted n on (n.nip, n.day) = (p.nip, w.day)),
  missed as (
    select h.nip, h.day, min(greatest(h.lo, d.opens - setting.counts_before)) as lo, max(least(h.hi, d.closes + setting.counts_after)) as hi,
      array_agg(distinct h.reason) filter (where d.came is null and (d.first_lo is null or h.lo < d.first_lo)) as why_came,
      array_agg(distinct h.reason) filter (where d.left is null and (d.last_hi is null or h.hi > d.last_hi)) as why_left
    from hit h join person_day d on (d.nip, d.day) = (h.nip, h.day)
    where d.excuse is null and h.lo < d.closes + setting.counts_after and h.hi >= d.opens - setting.counts_before group by 1, 2),
  accused as (
    select c.nip, lower(c.during)::date as day, range_agg(c.during) as during
    from people.contradictions(first_day, last_day) c group by 1, 2),
  -- Both ends. A single tap is an arrival and a leaving. What a human has accepted is
  -- as good as its better end.
  ends as (
    select d.*, m.why_came, m.why_left,
      coalesce(d.came, least(d.first_lo, m.lo), d.left) as in_best, coalesce(d.came, d.first_hi, d.left) as in_worst,
      coalesce(d.left, greatest(d.last_hi, m.hi), d.came) as out_best, coalesce(d.left, d.last_lo, d.came) as out_worst,
      case when d.accepted or a.during is null then 0 else coalesce((select floor(sum(extract(epoch from upper(r) - lower(r))) / 60)::int from unnest(a.during * d.spans) r), 0) end as accused
    from person_day d
    left join missed m on (m.nip, m.day) = (d.nip, d.day)
    left join accused a on (a.nip, a.day) = (d.nip, d.day)),
  judged as (
    select e.*, x.i is null as ab, x.iw is null as aw,
      people.seconds(e.opens, least(x.i, e.closes)) as late_b, people.seconds(e.opens, least(x.iw, e.closes)) as late_w,
      people.seconds(greatest(x.o, e.opens), e.closes) as early_b, people.seconds(greatest(x.ow, e.opens), e.closes) as early_w
    from ends e cross join lateral (select e.in_best as i, e.out_best as o,
      case when e.accepted then e.in_best else e.in_worst end as iw, case when e.accepted then e.out_best else e.out_worst end as ow) x),
  tiered as (
    select j.*, width_bucket(j.late_b, j.late_s) as lb, width_bucket(coalesce(j.late_w, 0), j.late_s) as lw,
      width_bucket(j.early_b, j.early_s) as eb, width_bucket(coalesce(j.early_w, 0), j.early_s) as ew
    from judged j),
  decided as (
    select t.*, t.excuse is null and (t.ab <> t.aw or not t.ab and (t.lb <> t.lw or t.eb <> t.ew) or t.accused > 0) as open
    from tiered t),
  reasons as (
    select d.nip, d.day, array_agg(distinct r.why order by r.why) as why
    from decided d join placed p on (p.nip, p.day) = (d.nip, d.day)
    cross join lateral (select
      d.came is null and (d.in_worst is null or p.lo <= d.in_worst) and (d.aw or d.lb <> d.lw) as came,
      d.left is null and (d.out_worst is null or p.hi >= d.out_worst) and (d.aw or d.eb <> d.ew) as left) m
    cross join lateral (select not p.sure or
      m.came and width_bucket(people.seconds(d.opens, least(p.lo, d.closes)), d.late_s) <> width_bucket(people.seconds(d.opens, least(p.hi, d.closes)), d.late_s) or
      m.left and width_bucket(people.seconds(greatest(p.lo, d.opens), d.closes), d.early_s) <> width_bucket(people.seconds(greatest(p.hi, d.opens), d.closes), d.early_s) as it) at_fault
    cross join lateral unnest(array[
      p.doubt,
      case when not p.mine then 'swapped-badge' end,
      case when not p.whole and p.quality <> 'unsynced' then 'day-boundary' end,
      case when p.quality in ('bounded', 'unsynced') then p.quality when p.lo < p.hi and (p.sure or not p.whole) then 'time-error' end,
      case when p.rev > 0 then 'corrected-later' end]) r (why)
    where d.open and (m.came or m.left) and at_fault.it and r.why is not null group by 1, 2)
  select d.day, d.dinas, d.nip, d.office, d.opens, d.closes, coalesce(d.n, 0), d.first_lo, d.first_hi, d.last_lo, d.last_hi,
    coalesce(d.late_b, 0), coalesce(d.late_w, 0), coalesce(d.early_b, 0), coalesce(d.early_w, 0), d.accused, d.excuse,
    case when d.excuse is not null then d.excuse when d.open then 'check' when d.ab then 'absent'
      when d.lb > 0 and d.eb > 0 then 'late-early' when d.lb > 0 then 'late' when d.eb > 0 then 'early' else 'ok' end,
    case when d.open then array(select distinct x from unnest(coalesce(r.why, '{}') || case when d.aw or d.lb <> d.lw then coalesce(d.why_came, '{}') else '{}' end
      || case when d.aw or d.eb <> d.ew then coalesce(d.why_left, '{}') else '{}' end
      || case when d.accused > 0 then array['contradiction'] else '{}' end) x order by x) else '{}' end,
    d.lb, d.lw, d.eb, d.ew,
    case when d.excuse is not null then 0 when d.ab then d.absent_p else coalesce(d.late_p[nullif(d.lb, 0)], 0) + coalesce(d.early_p[nullif(d.eb, 0)], 0) end,
    case when d.excuse is not null then 0 when d.aw then d.absent_p else coalesce(d.late_p[nullif(d.lw, 0)], 0) + coalesce(d.early_p[nullif(d.ew, 0)], 0) end
  from decided d left join reasons r on (r.nip, r.day) = (d.nip, d.day);
end $$;
