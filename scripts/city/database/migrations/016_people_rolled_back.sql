-- What a gap says was rolled back, or forked, the city has: it is not lost, and excuses
-- nobody. Nothing else in people.outages changes (007).
do $$
declare
  before constant text := $q$l.more->>'reason' = 'forgotten' and$q$;
  definition constant text := pg_get_functiondef('people.outages(date, date, text[])'::regprocedure);
begin
  if strpos(definition, before) = 0 then
    raise exception 'people.outages is not that of 007';
  end if;
  execute replace(definition, before, $q$l.more->>'reason' in ('forgotten', 'journal-rolled-back', 'journal-forked') and$q$);
end $$;
