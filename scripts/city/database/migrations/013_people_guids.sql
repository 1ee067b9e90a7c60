-- A gateway that sends card numbers as they are (badges.plain_uid) calls a badge that has
-- proven itself by its GUID, which has 32 hex digits: such an identity can be somebody's
-- too.
alter table people.badge drop constraint badge_badge_check;
alter table people.badge add constraint badge_badge_check
  check (badge ~ '^(h:[0-9a-f]{32}|([0-9A-F]{8}|[0-9A-F]{14}|[0-9A-F]{20}|[0-9A-F]{32}))$');

-- people.load_badges compares with the same form. Nothing else in it changes (009).
do $$
declare
  before constant text := '[0-9A-F]{20}))$';
  definition constant text := pg_get_functiondef('people.load_badges(uuid)'::regprocedure);
begin
  if strpos(definition, before) = 0 then
    raise exception 'people.load_badges is not that of 009';
  end if;
  execute replace(definition, before, '[0-9A-F]{20}|[0-9A-F]{32}))$');
end $$;
