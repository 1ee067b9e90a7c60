-- Each event with the newest word on its time.
create view presence.latest as
  select e.stream, e.seq, coalesce(c.rev, e.rev) as rev, e.kind, s.dinas, s.gateway,
    case when c.rev is null then e.at else c.at end as at,
    coalesce(c.quality, e.quality) as quality,
    case when c.rev is null then e.error_ms else c.error_ms end as error_ms,
    case when c.rev is null then e.at_min else c.at_min end as at_min,
    case when c.rev is null then e.at_max else c.at_max end as at_max,
    e.badge, e.tag, e.zone, e.lat, e.lon, e.link, e.more, e.received
  from presence.event e
  join presence.stream s on s.stream = e.stream and s.begun
  left join presence.correction c on (c.stream, c.seq) = (e.stream, e.seq) and c.newest;

-- Proof that nothing is missing: no row. Numbers up to the last one that the gateway
-- itself spoke of which are neither here nor named by one of its gaps.
create view presence.hole as
  select s.dinas, s.gateway, s.stream, lower(r) as "from", upper(r) - 1 as "to", upper(r) - lower(r) as n, s.hole_since as since, s.last_seen
  from presence.stream s,
    lateral unnest(int8multirange(int8range(1, presence.last_known(s.have + s.named, s.said_last) + 1)) - s.have - s.named) r;

-- What is lost for good: what the gateways themselves say, and what was erased here. To
-- and n are null where a stream's end is lost and nobody knows where that was.
create view presence.loss as
  select x.dinas, x.gateway, x.stream, x.reason, lower(r) as "from", upper(r) - 1 as "to", upper(r) - lower(r) as n
  from (
    select o.dinas, o.gateway, o.stream, o.reason,
      -- The next start tells where an open end was, if it knows of more than was lost.
      case when s.said_last is not null and upper_inf(o.numbers) and upper(o.numbers * int8multirange(int8range(1, s.said_last + 1))) = s.said_last + 1
        then o.numbers * int8multirange(int8range(1, s.said_last + 1)) else o.numbers end - s.have as numbers
    from presence.named o join presence.stream s using (stream, dinas, gateway)
    union all
    select dinas, gateway, stream, 'erased', erased from presence.stream where erased <> '{}') x,
    lateral unnest(x.numbers) r;

-- How each gateway is, as far as its events tell: those of the list of offices and those
-- that nobody has listed.
create view presence.gateway_state as
  select g.dinas, g.gateway, o.name, o.gateway is not null as listed,
    t.last_seen as last_event, now() - t.last_seen as silent_for,
    o.gateway is not null and coalesce(now() - t.last_seen > o.silent_after, true) as silent,
    t.last_at, t.last_quality as quality, t.last_delay_s as delay_s, t.boot, t.version, t.stream, t.first_seen as stream_since,
    coalesce(h.n, 0) as missing, h.since as missing_since, coalesce(l.n, 0) as lost
  from (select dinas, gateway from presence.office where current_date between since and coalesce(until, 'infinity')
    union select dinas, gateway from presence.stream where begun) g
  left join presence.office o on (o.dinas, o.gateway) = (g.dinas, g.gateway) and current_date between o.since and coalesce(o.until, 'infinity')
  left join lateral (select * from presence.stream s where (s.dinas, s.gateway) = (g.dinas, g.gateway) and s.begun
    order by s.last_seen desc, s.stream desc limit 1) t on true
  left join (select dinas, gateway, sum(n) as n, min(since) as since from presence.hole group by 1, 2) h on (h.dinas, h.gateway) = (g.dinas, g.gateway)
  left join (select dinas, gateway, sum(n) as n from presence.loss where reason <> 'erased' group by 1, 2) l on (l.dinas, l.gateway) = (g.dinas, g.gateway);

-- Holes for which the gateway is to be asked: those that have been there for so long
-- without the stream getting on. While a backlog drains a tap may be ahead of it, and
-- such a hole closes by itself.
create function presence.holes_to_ask(older_than interval)
returns table (dinas text, gateway text, stream uuid, "from" bigint, "to" bigint)
language sql stable security definer set search_path = presence, pg_temp as $$
  select h.dinas, h.gateway, h.stream, h."from", h."to" from hole h
  where h.since < now() - older_than order by h.dinas, h.gateway, h.stream, h."from"
$$;
