-- A span of hours, such as 07:30-16:00, on a day. 24:00 is the end of the day.
create function people.span(day date, hours text) returns tsrange
language sql immutable parallel safe as $$
  select case when coalesce(hours, '') <> '' then
    tsrange(day + split_part(hours, '-', 1)::interval, day + split_part(hours, '-', 2)::interval) else 'empty'::tsrange end
$$;

-- The hours of a day by a document, less the break, as the office's wall clock shows
-- them: the same rules as for a gateway (config/hours.go). Of periods that hold the day
-- the one that begins first counts. A week without any day is the national one of
-- Perpres 21/2023; so is what has no document.
create function people.spans_of(body jsonb, day date) returns tsmultirange
language sql immutable parallel safe as $$
  with d as (select to_char(day::timestamp, 'dy') as name),
  period as (
    select p from jsonb_array_elements(coalesce(body->'period', '[]')) p
    where day between (p->>'from')::date and (p->>'to')::date order by p->>'from' limit 1),
  week as (
    select coalesce((select p from period), case when body ?| array['mon','tue','wed','thu','fri','sat','sun'] then body end,
      '{"mon":"07:30-16:00","tue":"07:30-16:00","wed":"07:30-16:00","thu":"07:30-16:00","fri":"07:30-16:30"}') as w)
  select case when coalesce(body->'holidays', '[]') ? day::text then '{}'::tsmultirange else
    tsmultirange(people.span(day, w->>name)) - tsmultirange(people.span(day,
      coalesce((select coalesce(p->>(name || '_break'), p->>'break') from period), body->>(name || '_break'), body->>'break'))) end
  from d, week
$$;

-- The document that holds for a gateway (null: for those of the department as a whole)
-- on a day.
create function people.hours_of(dinas text, gateway text, day date) returns jsonb
language sql stable parallel safe as $$
  select body from people.hours h
  where h.since <= $3 and (h.dinas = '' or h.dinas = $1 and (h.gateway = '' or h.gateway = $2))
  order by h.dinas = '', h.gateway = '', h.since desc limit 1
$$;

-- What is wrong with a document, null where nothing is. "gatewayd check --hours" says
-- more; this keeps out what the queries could not read.
create function people.hours_problem(body jsonb) returns text
language plpgsql immutable as $$
declare
  part jsonb; k text; v jsonb; spans int := 0;
  days constant text[] := '{mon,tue,wed,thu,fri,sat,sun}';
  breaks constant text[] := '{break,mon_break,tue_break,wed_break,thu_break,fri_break,sat_break,sun_break}';
begin
  if jsonb_typeof(body) is distinct from 'object' then return 'is no JSON object with the keys of [hours]'; end if;
  if jsonb_typeof(coalesce(body->'period', '[]')) <> 'array' or jsonb_typeof(coalesce(body->'holidays', '[]')) <> 'array' then
    return 'period and holidays are lists'; end if;
  for v in select jsonb_array_elements(coalesce(body->'holidays', '[]')) loop
    if people.read_date(v #>> '{}') is null or v #>> '{}' !~ '^\d{4}-\d\d-\d\d$' then return format('%s is no date: write it such as 2026-12-25', v); end if;
  end loop;
  for part in select body union all select jsonb_array_elements(coalesce(body->'period', '[]')) loop
    if jsonb_typeof(part) <> 'object' then return 'a period is an object'; end if;
    for k, v in select * from jsonb_each(part) loop
      if k = any (days || breaks) then
        if v #>> '{}' <> '' and (v #>> '{}' !~ '^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$'
            or split_part(v #>> '{}', '-', 1) >= split_part(v #>> '{}', '-', 2)) then
          return format('%s of %s is no span of hours: write it such as 07:30-16:00', v, k);
        end if;
      elsif k in ('from', 'to') and part <> body then
        if people.read_date(v #>> '{}') is null or v #>> '{}' !~ '^\d{4}-\d\d-\d\d$' then return format('%s of a period is no date', k); end if;
      elsif not (k in ('holidays', 'period', 'always') and part = body) then
        return format('%s is no key of hours', k);
      end if;
    end loop;
    if part <> body and (part->>'from' is null or part->>'to' is null or part->>'from' > part->>'to') then
      return 'a period needs from and to, and from is not after to'; end if;
    if part <> body and not part ?| days then return 'a period has no day: for closed days use holidays'; end if;
  end loop;
  if exists (select from jsonb_array_elements(coalesce(body->'period', '[]')) with ordinality a(p, i),
      jsonb_array_elements(coalesce(body->'period', '[]')) with ordinality b(p, i)
      where a.i < b.i and a.p->>'from' <= b.p->>'to' and b.p->>'from' <= a.p->>'to') then
    return 'periods overlap: a day belongs to one period'; end if;
  return null;
end $$;

-- A date as people write it in files: 2026-12-25 or 25/12/2026; null where it is none.
create function people.read_date(text text) returns date
language plpgsql immutable parallel safe as $$
begin
  if text ~ '^\d{4}-\d\d-\d\d$' then return text::date; end if;
  if text ~ '^\d\d/\d\d/\d{4}$' then return make_date(right(text, 4)::int, substr(text, 4, 2)::int, left(text, 2)::int); end if;
  return null;
exception when others then return null;
end $$;

-- An instant in a file: a date, which means its beginning in the zone, or a time of
-- RFC 3339; null where it is neither.
create function people.read_instant(text text, zone text) returns timestamptz
language plpgsql stable as $$
begin
  if people.read_date(text) is not null then return people.read_date(text)::timestamp at time zone zone; end if;
  if text ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$' then return text::timestamptz; end if;
  return null;
exception when others then return null;
end $$;
