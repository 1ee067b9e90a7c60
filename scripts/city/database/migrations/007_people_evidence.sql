-- What the events say, with the bounds of what they do not say: taps of people, and
-- stretches in which a gateway may have missed a tap.
--
-- lo and hi are the earliest and the latest instant at which something can have been.

-- The bounds of an event's time; null where nothing is known. Stable and not immutable,
-- as else PostgreSQL does not inline them.
create function people.earliest(at timestamptz, quality text, error_ms real, at_min timestamptz) returns timestamptz
language sql stable parallel safe as $$
  select case when quality = 'bounded' then at_min else at - coalesce(error_ms, 0) * interval '1 ms' end
$$;
create function people.latest(at timestamptz, quality text, error_ms real, at_max timestamptz) returns timestamptz
language sql stable parallel safe as $$
  select case when quality = 'bounded' then at_max else at + coalesce(error_ms, 0) * interval '1 ms' end
$$;

-- The last event of a stream before a number, and the first after one, of which it is
-- known when they were. Reports of tags wait for the disk up to a second or two, and are
-- numbered behind a tap that came after them: so what is numbered before an event was
-- before it, but for so long. They read one row by an index, whatever who calls them has
-- set for the rest.
create function people.known_before(stream uuid, seq bigint) returns table (lo timestamptz, hi timestamptz)
language sql stable rows 1 set enable_nestloop = on as $$
  select people.earliest(l.at, l.quality, l.error_ms, l.at_min), people.latest(l.at, l.quality, l.error_ms, l.at_max)
  from presence.latest l where l.stream = $1 and l.seq < $2 and l.at is not null order by l.seq desc limit 1
$$;
create function people.known_after(stream uuid, seq bigint) returns table (lo timestamptz, hi timestamptz)
language sql stable rows 1 set enable_nestloop = on as $$
  select people.earliest(l.at, l.quality, l.error_ms, l.at_min),
    people.latest(l.at, l.quality, l.error_ms, l.at_max) + case when l.kind = 'tag' then interval '2 s' else '0' end
  from presence.latest l where l.stream = $1 and l.seq > $2 and l.at is not null order by l.seq limit 1
$$;

-- The bounds of an event whose own time nobody knows: by its neighbours in its stream
-- and in those before and after, and by its arrival. Infinite where those know nothing.
create function people.bounds_of_undated(stream uuid, seq bigint, received timestamptz) returns tstzrange
language plpgsql stable as $$
declare s uuid := stream; q bigint := seq; lo timestamptz; hi timestamptz;
begin
  loop
    select k.lo into lo from people.known_before(s, q) k;
    exit when found;
    select p.stream into s from presence.stream p where p.next = s limit 1;
    exit when not found;
    q := 9223372036854775807;
  end loop;
  s := stream; q := seq;
  loop
    select k.hi into hi from people.known_after(s, q) k;
    exit when found;
    select p.next into s from presence.stream p where p.stream = s and p.next is not null limit 1;
    exit when not found;
    q := 0;
  end loop;
  return tstzrange(coalesce(lo, '-infinity'), greatest(least(coalesce(hi, 'infinity'), received), lo), '[]');
end $$;

-- Taps that can have been on some days, each with the person whose badge it was, by the
-- wall clock of the office. mine: it was surely this person's badge then. doubt: where
-- the person's tag was meanwhile, if that speaks against the tap.
create function people.taps(first_day date, last_day date)
returns table (nip text, dinas text, gateway text, stream uuid, seq bigint, rev int, quality text, error_ms real,
  at timestamp, lo timestamp, hi timestamp, mine boolean, doubt text)
language sql stable as $$
  select b.nip, l.dinas, l.gateway, l.stream, l.seq, l.rev, l.quality, l.error_ms, l.at at time zone o.zone,
    x.lo at time zone o.zone, x.hi at time zone o.zone, b.during @> tstzrange(x.lo, x.hi, '[]'),
    case l.more #>> '{tag_check,state}' when 'far' then 'tag-far' when 'conflict' then 'tag-conflict' end
  from presence.latest l
  join presence.office o on (o.dinas, o.gateway) = (l.dinas, l.gateway)
  cross join lateral (select case when l.at is null then people.bounds_of_undated(l.stream, l.seq, l.received) end as undated offset 0) u
  cross join lateral (select coalesce(people.earliest(l.at, l.quality, l.error_ms, l.at_min), lower(u.undated)) as lo,
    coalesce(people.latest(l.at, l.quality, l.error_ms, l.at_max), upper(u.undated)) as hi offset 0) x
  join people.badge b on (b.gateway, b.badge) = (l.gateway, l.badge) and b.during && tstzrange(x.lo, x.hi, '[]')
  where l.kind = 'badge' and l.received >= first_day - 1 -- nothing arrives before it was
    and x.hi >= first_day - 1 and x.lo < last_day + 3
    and (not coalesce((l.more->>'simulated')::boolean, false) or (select simulated from people.setting where during @> first_day))
$$;

-- Streams of gateways in order, each with the bounds of its first and last event whose
-- time is known, and the last instant before it at which its gateway is known to have
-- worked. Of streams that ended before the day only the last of each gateway.
create function people.runs(first_day date, only_gateways text[])
returns table (dinas text, gateway text, stream uuid, clean_before boolean, started boolean,
  before timestamptz, first_lo timestamptz, first_hi timestamptz, last_lo timestamptz, next_hi timestamptz)
language sql stable as $$
  with relevant as (
    select * from presence.stream s where s.begun and s.last_seen >= first_day - 1 and (only_gateways is null or s.gateway = any (only_gateways))
    union all
    (select distinct on (s.dinas, s.gateway) * from presence.stream s where s.begun and s.last_seen < first_day - 1 and (only_gateways is null or s.gateway = any (only_gateways))
     order by s.dinas, s.gateway, s.last_seen desc)),
  known as (
    select s.dinas, s.gateway, s.stream, s.have @> 1::bigint as started,
      (select p.clean from presence.stream p where p.next = s.stream and p.gateway = s.gateway limit 1) as clean_before,
      f.lo as first_lo, f.hi as first_hi, e.lo as last_lo
    from relevant s, people.known_after(s.stream, 0) f, people.known_before(s.stream, 9223372036854775807) e)
  select k.dinas, k.gateway, k.stream, k.clean_before, k.started,
    max(k.last_lo) over w, k.first_lo, k.first_hi, k.last_lo,
    lead(k.first_hi) over (partition by k.dinas, k.gateway order by k.first_lo, k.stream)
  from known k
  window w as (partition by k.dinas, k.gateway order by k.first_lo, k.stream rows between unbounded preceding and 1 preceding)
$$;

-- Stretches in which a gateway may have missed a tap, each as long as it can have been:
--
--   restart    it was stopped on purpose, and started again
--   crash      it ended without that: power cut, crash
--   no-record  there is nothing from before its first event
--   silent     nothing has come of it since
--   hole       numbers are missing that no gap names: they may still come
--   gap-...    the gateway says itself that it lost something, with its reason
--   reported   people.outage
create function people.outages(first_day date, last_day date, only_gateways text[] default null)
returns table (dinas text, gateway text, reason text, lo timestamptz, hi timestamptz)
language sql stable as $$
  with runs as materialized (select * from people.runs(first_day, only_gateways)),
  gap as (
    select l.dinas, l.gateway, 'gap-' || (l.more->>'reason') as reason,
      coalesce(r.lo, (l.more->>'first')::timestamptz - e.rror, p.lo, '-infinity') as lo,
      coalesce(r.hi, (l.more->>'last')::timestamptz + e.rror, people.latest(l.at, l.quality, l.error_ms, l.at_max), l.received) as hi
    from presence.latest l
    left join lateral people.known_before(l.stream, l.seq) p on true
    cross join lateral (select greatest(coalesce(l.error_ms, 0), 1000) * interval '1 ms' as rror) e
    left join lateral (
      -- What is lost lies between the events before and after it.
      select min(coalesce(b.lo, u.before, '-infinity')) as lo, max(coalesce(a.hi, u.next_hi, 'infinity')) as hi,
        bool_and(coalesce(s.have @> int8range((g->>'from')::bigint, (g->>'to')::bigint, '[]'), false)) as here
      from jsonb_array_elements(coalesce(l.more->'ranges', '[]')) g
      left join presence.stream s on s.stream = (g->>'stream')::uuid and s.gateway = l.gateway
      left join runs u on u.stream = (g->>'stream')::uuid
      left join lateral people.known_before((g->>'stream')::uuid, (g->>'from')::bigint) b on true
      left join lateral people.known_after((g->>'stream')::uuid, coalesce((g->>'to')::bigint, 9223372036854775807)) a on true
      having count(*) > 0) r on true
    where l.kind = 'gap' and l.received >= first_day - 1
      -- Lost tags are no lost taps. What was forgotten on somebody's request, and is
      -- here, is not lost.
      and (coalesce(l.more->'kinds', '{}') = '{}' or l.more->'kinds' ? 'badge')
      and not (l.more->>'reason' = 'forgotten' and coalesce(r.here, false)))
  select * from (
    select dinas, gateway, case when before is null then 'no-record' when clean_before then 'restart' when started then 'crash' else 'hole' end,
      coalesce(before, '-infinity') as lo, first_hi as hi
    from runs where before is null or before < first_hi
    union all
    select dinas, gateway, 'silent', max(last_lo), 'infinity' from runs group by 1, 2
    union all
    select o.dinas, o.gateway, 'no-record', '-infinity', 'infinity' from presence.office o
    where not exists (select from runs r where (r.dinas, r.gateway) = (o.dinas, o.gateway))
    union all
    select h.dinas, h.gateway, 'hole', coalesce(b.lo, r.before, n.before, '-infinity'), coalesce(a.hi, r.next_hi, n.first_hi, 'infinity')
    from presence.hole h
    left join presence.stream s on (s.stream, s.dinas, s.gateway) = (h.stream, h.dinas, h.gateway)
    left join runs r on r.stream = h.stream and r.gateway = h.gateway
    left join runs n on n.stream = s.next and n.gateway = h.gateway
    left join lateral people.known_before(h.stream, h."from") b on true
    left join lateral people.known_after(h.stream, h."to") a on true
    union all
    select * from gap
    union all
    select o.dinas, o.gateway, 'reported', coalesce(lower(x.during), '-infinity'), coalesce(upper(x.during), 'infinity')
    from people.outage x join presence.office o using (gateway)) every (dinas, gateway, reason, lo, hi)
  where lo < last_day + 3 and hi >= first_day - 1 and (only_gateways is null or gateway = any (only_gateways))
$$;

-- Stretches in which a person's tag was outside although the badge had been shown, by
-- the wall clock: as short as they can have been, and without those in which another
-- gateway heard the tag at its office.
create function people.contradictions(first_day date, last_day date)
returns table (nip text, gateway text, during tsrange)
language sql stable as $$
  with said as (
    select b.nip, l.gateway, o.zone, l.stream, l.seq, l.more->>'state' as state, x.lo, x.hi, l.badge
    from presence.latest l
    join presence.office o on (o.dinas, o.gateway) = (l.dinas, l.gateway)
    cross join lateral (select people.earliest(l.at, l.quality, l.error_ms, l.at_min) as lo, people.latest(l.at, l.quality, l.error_ms, l.at_max) as hi) x
    join people.badge b on (b.gateway, b.badge) = (l.gateway, l.badge) and b.during @> tstzrange(x.lo, x.hi, '[]')
    where l.kind = 'presence' and l.received >= first_day - 1 and x.hi >= first_day - 1 and x.lo < last_day + 3),
  accused as (select * from said where state = 'contradiction'),
  -- What was said holds until the gateway says something else of the badge, or until the
  -- last event before it ended.
  held as (
    select s.nip, s.gateway, s.state, s.zone, s.lo, s.hi, coalesce(n.lo, k.lo) as until
    from said s
    left join lateral (
      select m.seq, people.earliest(m.at, m.quality, m.error_ms, m.at_min) as lo from presence.latest m
      where m.stream = s.stream and m.seq > s.seq and m.kind = 'presence' and m.badge = s.badge order by m.seq limit 1) n on true
    left join lateral people.known_before(s.stream, coalesce(n.seq, 9223372036854775807)) k on n.lo is null
    where s.state = 'contradiction' or s.state in ('on_site', 'badge_only') and s.nip in (select nip from accused))
  select c.nip, c.gateway, r
  from held c,
    lateral (select tsmultirange(tsrange(c.hi at time zone c.zone, greatest(c.until, c.hi) at time zone c.zone))
      - coalesce((select range_agg(tsrange(o.lo at time zone o.zone, greatest(o.until, o.lo) at time zone o.zone)) from held o
          where o.nip = c.nip and o.gateway <> c.gateway and o.state <> 'contradiction'), '{}') as m) x,
    lateral unnest(x.m) r
  where c.state = 'contradiction'
$$;
