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
    lateral unnest(int8multirange(int8range(1, presence.last_known(s.have + s.named, s.said_last) + 1)) - s.have - s.named) r
  where s.hole_since is not null; -- ingest keeps this up to date: most streams have none, and need no look at their numbers

-- What is lost for good: what the gateways themselves say, and what was erased here. To
-- and n are null where a stream's end is lost and nobody knows where that was.
create view presence.loss as
  select x.dinas, x.gateway, x.stream, x.reason, lower(r) as "from", upper(r) - 1 as "to", upper(r) - lower(r) as n
  from (
    select o.dinas, o.gateway, o.stream, o.reason,
      -- An open end goes up to what the next start says was the last number. Where that
      -- lies before the lost ones, the gateway did not know better, and it stays open.
      case when upper_inf(o.numbers) and s.said_last > presence.last_known(o.numbers, 0)
        then o.numbers - int8multirange(int8range(s.said_last + 1, null)) else o.numbers end - s.have as numbers
    from presence.named o join presence.stream s using (stream, dinas, gateway)
    union all
    select dinas, gateway, stream, 'erased', erased from presence.stream where erased <> '{}') x,
    lateral unnest(x.numbers) r;

-- Whether the events are there that the streams say are: no row. It reads all events. For
-- after a restore from a backup, and for doubt. Streams that began on days which have been
-- dropped since are left out, and who was erased is missed nowhere.
create function presence.audit()
returns table (dinas text, gateway text, stream uuid, "from" bigint, "to" bigint, problem text)
language sql stable security definer set search_path = presence, pg_temp set timezone = 'UTC' as $$
  with oldest as (
    select coalesce(min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamptz, '-infinity') as day
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'presence.event'::regclass and c.relname ~ '^event_[0-9]{8}$'),
  stored as (
    select e.stream, range_agg(int8range(e.seq, e.seq + 1)) as numbers, count(*) as n, count(distinct e.seq) as different from event e group by 1)
  select s.dinas, s.gateway, s.stream, lower(r), upper(r) - 1, 'not in presence.event'
  from stream s left join stored t on t.stream = s.stream cross join lateral unnest(s.have - s.erased - coalesce(t.numbers, '{}')) r
  where s.first_seen >= (select day from oldest)
  union all
  select s.dinas, s.gateway, t.stream, lower(r), upper(r) - 1, 'not known to the stream'
  from stored t left join stream s on s.stream = t.stream and s.begun cross join lateral unnest(t.numbers - coalesce(s.have - s.erased, '{}')) r
  union all
  select s.dinas, s.gateway, t.stream, null, null, 'stored ' || t.n - t.different || ' times too often'
  from stored t left join stream s on s.stream = t.stream and s.begun where t.n > t.different
$$;

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
  -- After a start the backlog of the streams before may still come.
  left join lateral (select * from (select * from presence.stream s where (s.dinas, s.gateway) = (g.dinas, g.gateway) and s.begun
    order by s.first_seen desc limit 8) x order by x.last_seen desc, x.stream desc limit 1) t on true
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

-- Whether a JSON document has one of these strings anywhere, as a value or as a key.
create function presence.mentions(document jsonb, ids text[]) returns boolean
language sql immutable parallel safe as $$
  select jsonb_path_exists(document, '$.** ? (@ == $ids[*])', jsonb_build_object('ids', ids))
    or jsonb_path_exists(document, '$.** ? (@.type() == "object").keyvalue().key ? (@ == $ids[*])', jsonb_build_object('ids', ids))
$$;

-- Removes what is stored of a person, and returns how many events that was. Each element
-- is a badge or a tag (the other one null) that was the person's: at a gateway (null: at
-- all of them) and from an instant up to another one (null: no limit).
--
-- Of an event nothing stays but its number, which presence.loss names as erased: it is no
-- hole, and it is not stored again when it is sent again. What a gateway has not sent yet
-- is not touched: there "gatewayd forget" comes first. Refused messages that mention the
-- person go as well, and of the same gateways those that cannot be searched: compressed
-- ones, and what is not plain text.
create function presence.erase(gateways text[], badges text[], tags text[], since timestamptz[], until timestamptz[]) returns bigint
language plpgsql security definer set search_path = presence, pg_temp as $$
declare
  n int := cardinality(gateways);
  ids text[];
  gone_streams uuid[];
  gone_seqs bigint[];
begin
  if (n > 0 and cardinality(badges) = n and cardinality(tags) = n and cardinality(since) = n and cardinality(until) = n) is not true then
    raise exception 'arrays of different lengths, or empty ones' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from unnest(badges, tags) x(badge, tag) where num_nonnulls(x.badge, x.tag) <> 1 or length(coalesce(x.badge, x.tag)) < 4) then
    raise exception 'each element: a badge or a tag, of at least 4 characters' using errcode = 'invalid_parameter_value';
  end if;
  select array_agg(distinct coalesce(x.badge, x.tag)) into ids from unnest(badges, tags) x(badge, tag);

  with mentioned as materialized (
    select e.received, e.stream, e.seq, s.gateway, e.badge, e.tag, e.more, coalesce(c.at, c.at_min, e.at, e.at_min, e.received) as at
    from event e join stream s on s.stream = e.stream and s.begun
    left join correction c on (c.stream, c.seq) = (e.stream, e.seq) and c.newest
    where e.badge = any(ids) or e.tag = any(ids) or (e.more is not null and mentions(e.more, ids))),
  gone as (
    delete from event e using mentioned m
    -- Not by its place (ctid), which changes when rev 0 comes late at this moment.
    where (e.received, e.stream, e.seq) = (m.received, m.stream, m.seq)
      and exists (select from unnest(gateways, badges, tags, since, until) a(gateway, badge, tag, since, until)
        where (a.gateway is null or a.gateway = m.gateway) and m.at >= coalesce(a.since, '-infinity') and m.at < coalesce(a.until, 'infinity')
          and (coalesce(m.badge = a.badge, false) or coalesce(m.tag = a.tag, false) or (m.more is not null and mentions(m.more, array[coalesce(a.badge, a.tag)]))))
    returning e.stream, e.seq)
  select coalesce(array_agg(g.stream), '{}'), coalesce(array_agg(g.seq), '{}') into gone_streams, gone_seqs from gone g;

  -- Who stores at this moment has done so, or waits until this is committed.
  perform from stream s where s.stream = any(gone_streams) order by s.stream, s.dinas, s.gateway for update;
  update stream s set erased = s.erased + x.numbers, swapped = s.swapped - x.numbers
    from (select g.stream, range_agg(int8range(g.seq, g.seq + 1)) as numbers from unnest(gone_streams, gone_seqs) g(stream, seq) group by 1) x
    where s.stream = x.stream and s.begun;
  delete from correction c using unnest(gone_streams, gone_seqs) g(stream, seq) where (c.stream, c.seq) = (g.stream, g.seq);
  delete from refused r
    where exists (select from unnest(ids) id where strpos(r.topic, id) > 0 or strpos(r.reason, id) > 0 or position(convert_to(id, 'UTF8') in r.payload) > 0)
      -- encode writes a backslash for each byte that is not ASCII, and two for a backslash
      or ((strpos(encode(r.payload, 'escape'), '\') > 0 or length(r.payload) >= 4096 or r.topic like '%/event/batch')
        and exists (select from unnest(gateways) g where g is null or split_part(r.topic, '/', 4) = g));
  raise log 'presence: % events erased on request by %', cardinality(gone_seqs), session_user; -- not whose
  return cardinality(gone_seqs);
end $$;
