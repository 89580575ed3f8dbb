-- One of every object that is no table, in every variety, on any server from 14. Roles come from the test: "App Owner", "a reader".
CREATE SCHEMA "Odd Schema";
CREATE SCHEMA outside;
CREATE EXTENSION vector WITH SCHEMA outside;
ALTER SCHEMA outside RENAME TO "Out Side";
COMMENT ON EXTENSION vector IS 'said by us';

-- types over shells: a base type, and a range with a canonical function
CREATE TYPE public.tiny;
CREATE FUNCTION public.tiny_in(cstring) RETURNS public.tiny LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION public.tiny_out(public.tiny) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE FUNCTION public.tiny_send(public.tiny) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
CREATE FUNCTION public.tiny_recv(internal) RETURNS public.tiny LANGUAGE internal IMMUTABLE STRICT AS 'int4recv';
CREATE TYPE public.tiny (INPUT = public.tiny_in, OUTPUT = public.tiny_out, RECEIVE = public.tiny_recv,
  SEND = public.tiny_send, LIKE = integer, CATEGORY = 'N', DEFAULT = '7', DELIMITER = ';');
COMMENT ON TYPE public.tiny IS 'small; and over a shell';
CREATE TYPE public.only_a_shell;
CREATE TYPE public.whole;
CREATE FUNCTION public.canon(public.whole) RETURNS public.whole LANGUAGE internal IMMUTABLE STRICT AS 'int4range_canonical';
CREATE TYPE public.whole AS RANGE (SUBTYPE = integer, CANONICAL = public.canon, MULTIRANGE_TYPE_NAME = "Odd Schema".wholes);
CREATE FUNCTION public.apart(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE TYPE "Odd Schema"."Span" AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = public.apart);
CREATE TYPE public.words AS RANGE (SUBTYPE = text, COLLATION = "C", SUBTYPE_OPCLASS = text_pattern_ops);
COMMENT ON TYPE public.words IS 'from a to z';

-- collations
CREATE COLLATION public.plain FROM "C";
CREATE COLLATION "Odd Schema"."Löwe" (PROVIDER = libc, LOCALE = 'C.UTF-8');
CREATE COLLATION public.german (LC_COLLATE = 'POSIX', LC_CTYPE = 'C');
COMMENT ON COLLATION public.german IS 'as in the phone book';

-- aggregates
CREATE FUNCTION public.add_up(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION public.take_off(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE FUNCTION public.finish(float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE AGGREGATE public.total(float8) (SFUNC = public.add_up, STYPE = float8, SSPACE = 12, INITCOND = '0',
  FINALFUNC = public.finish, COMBINEFUNC = public.add_up, MSFUNC = public.add_up, MINVFUNC = public.take_off, MSTYPE = float8,
  MINITCOND = '0', MFINALFUNC = public.finish, MFINALFUNC_MODIFY = SHAREABLE, PARALLEL = SAFE);
CREATE AGGREGATE public.how_many(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
CREATE AGGREGATE "Odd Schema"."my least"(integer) (SFUNC = int4smaller, STYPE = integer, SORTOP = <);
CREATE AGGREGATE public.middle(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal,
  FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA, FINALFUNC_MODIFY = READ_WRITE);
CREATE AGGREGATE public.rank_of(VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal,
  FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
COMMENT ON AGGREGATE public.total(float8) IS 'adds up';
COMMENT ON AGGREGATE public.how_many(*) IS 'counts';

-- operators, families, classes; a class that another is needed for, members added later, and an index over it
CREATE FUNCTION public.tiny_cmp(public.tiny, public.tiny) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
CREATE FUNCTION public.tiny_lt(public.tiny, public.tiny) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4lt';
CREATE FUNCTION public.tiny_le(public.tiny, public.tiny) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4le';
CREATE FUNCTION public.tiny_eq(public.tiny, public.tiny) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4eq';
CREATE FUNCTION public.tiny_ge(public.tiny, public.tiny) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4ge';
CREATE FUNCTION public.tiny_gt(public.tiny, public.tiny) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4gt';
CREATE OPERATOR public.< (FUNCTION = public.tiny_lt, LEFTARG = public.tiny, RIGHTARG = public.tiny,
  COMMUTATOR = OPERATOR(public.>), NEGATOR = OPERATOR(public.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR public.<= (FUNCTION = public.tiny_le, LEFTARG = public.tiny, RIGHTARG = public.tiny,
  COMMUTATOR = OPERATOR(public.>=), NEGATOR = OPERATOR(public.>));
CREATE OPERATOR public.= (FUNCTION = public.tiny_eq, LEFTARG = public.tiny, RIGHTARG = public.tiny,
  COMMUTATOR = OPERATOR(public.=), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR public.>= (FUNCTION = public.tiny_ge, LEFTARG = public.tiny, RIGHTARG = public.tiny,
  COMMUTATOR = OPERATOR(public.<=), NEGATOR = OPERATOR(public.<));
CREATE OPERATOR public.> (FUNCTION = public.tiny_gt, LEFTARG = public.tiny, RIGHTARG = public.tiny,
  COMMUTATOR = OPERATOR(public.<), NEGATOR = OPERATOR(public.<=));
CREATE OPERATOR "Odd Schema".|/| (FUNCTION = dsqrt, RIGHTARG = float8);
COMMENT ON OPERATOR "Odd Schema".|/| (NONE, float8) IS 'a root';
COMMENT ON OPERATOR public.< (public.tiny, public.tiny) IS 'less';
CREATE OPERATOR FAMILY public.tinies USING btree;
CREATE OPERATOR CLASS public.tiny_ops DEFAULT FOR TYPE public.tiny USING btree FAMILY public.tinies AS
  OPERATOR 1 public.<, OPERATOR 2 public.<=, OPERATOR 3 public.=, OPERATOR 4 public.>=, OPERATOR 5 public.>,
  FUNCTION 1 public.tiny_cmp(public.tiny, public.tiny);
CREATE FUNCTION public.tiny_int(public.tiny, integer) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
ALTER OPERATOR FAMILY public.tinies USING btree ADD FUNCTION 1 (public.tiny, integer) public.tiny_int(public.tiny, integer);
CREATE FUNCTION public.tiny_hash(public.tiny) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'hashint4';
CREATE OPERATOR CLASS "Odd Schema"."by hash" FOR TYPE public.tiny USING hash AS
  OPERATOR 1 public.=, FUNCTION 1 public.tiny_hash(public.tiny);
CREATE OPERATOR CLASS "Odd Schema".bare FOR TYPE public.tiny USING gist AS STORAGE public.tiny;
CREATE OPERATOR FAMILY public.nothing_in_it USING gin;
COMMENT ON OPERATOR CLASS public.tiny_ops USING btree IS 'sorts';
COMMENT ON OPERATOR FAMILY public.tinies USING btree IS 'all of them';

-- casts
CREATE FUNCTION public.tiny_of(bigint) RETURNS public.tiny LANGUAGE internal IMMUTABLE STRICT AS 'int84';
CREATE CAST (bigint AS public.tiny) WITH FUNCTION public.tiny_of(bigint) AS ASSIGNMENT;
CREATE CAST (public.tiny AS integer) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (public.tiny AS text) WITH INOUT;
COMMENT ON CAST (public.tiny AS text) IS 'by its words';

-- text search
CREATE TEXT SEARCH TEMPLATE public.plainly (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH PARSER public.chopper (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
  HEADLINE = prsd_headline, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH DICTIONARY "Odd Schema"."No Stop" (TEMPLATE = public.plainly, Accept = 'true');
CREATE TEXT SEARCH DICTIONARY public.stems (TEMPLATE = snowball, Language = english, StopWords = english);
CREATE TEXT SEARCH CONFIGURATION public.searching (PARSER = public.chopper);
ALTER TEXT SEARCH CONFIGURATION public.searching ADD MAPPING FOR asciiword, word WITH "Odd Schema"."No Stop", public.stems;
ALTER TEXT SEARCH CONFIGURATION public.searching ADD MAPPING FOR numhword WITH simple;
COMMENT ON TEXT SEARCH CONFIGURATION public.searching IS 'finds';
COMMENT ON TEXT SEARCH DICTIONARY public.stems IS 'of words';

-- what few make: languages, transforms, access methods, conversions
CREATE TRUSTED LANGUAGE "pl/odd" HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator;
COMMENT ON LANGUAGE "pl/odd" IS 'as plpgsql';
CREATE FUNCTION public.oddly() RETURNS integer LANGUAGE "pl/odd" AS 'BEGIN RETURN 1; END';
CREATE FUNCTION public.from_sql(internal) RETURNS internal LANGUAGE internal IMMUTABLE STRICT AS 'prsd_lextype';
CREATE TRANSFORM FOR public.tiny LANGUAGE plpgsql (FROM SQL WITH FUNCTION public.from_sql(internal));
CREATE ACCESS METHOD second_heap TYPE TABLE HANDLER heap_tableam_handler;
COMMENT ON ACCESS METHOD second_heap IS 'the same again';
CREATE CONVERSION public.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION public.latin IS 'to ours';

-- a table that uses them, with rules in every state
CREATE TABLE public.log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
CREATE TABLE public.things (
  id integer PRIMARY KEY, t public.tiny DEFAULT '3'::public.tiny,
  lower float8 DEFAULT lower("Odd Schema"."Span"(1, 2)), upper integer DEFAULT upper(public.wholes('[1,2]'::public.whole)), note text COLLATE public.german, loud text COLLATE "Odd Schema"."Löwe",
  v "Out Side".vector(2), search tsvector GENERATED ALWAYS AS (to_tsvector('public.searching'::regconfig, note)) STORED
);
CREATE TYPE public.spans AS (w public.whole, ws "Odd Schema".wholes, s "Odd Schema"."Span"[]);
CREATE INDEX things_t ON public.things (t);
CREATE INDEX things_hash ON public.things USING hash (t "Odd Schema"."by hash");
CREATE INDEX things_v ON public.things USING hnsw (v "Out Side".vector_l2_ops);
CREATE RULE tell AS ON INSERT TO public.things WHERE new.id > 5 DO ALSO INSERT INTO public.log (note) VALUES (new.note);
CREATE RULE "keep it" AS ON DELETE TO public.things DO INSTEAD NOTHING;
CREATE RULE asleep AS ON UPDATE TO public.things DO INSTEAD NOTHING;
CREATE RULE always AS ON UPDATE TO public.log DO ALSO NOTIFY changed;
CREATE RULE far AS ON DELETE TO public.log DO ALSO DELETE FROM public.things;
ALTER TABLE public.things DISABLE RULE asleep;
ALTER TABLE public.log ENABLE ALWAYS RULE always;
ALTER TABLE public.log ENABLE REPLICA RULE far;
COMMENT ON RULE tell ON public.things IS 'to the log';
INSERT INTO public.things VALUES (1, '5', 0.5, 2, 'Öl und öl', 'Laut', '[1,2]'), (2, '-3', NULL, NULL, 'x', NULL, NULL);

-- views that can be written to by rules, and materialized ones over each other, full, empty, and hidden in functions
CREATE VIEW public.shown AS SELECT id, note FROM public.things;
CREATE RULE put_in AS ON INSERT TO public.shown DO INSTEAD INSERT INTO public.things (id, note) VALUES (new.id, new.note);
COMMENT ON RULE put_in ON public.shown IS 'through the view';
CREATE MATERIALIZED VIEW public.z_counts WITH (autovacuum_enabled = false, fillfactor = 70) AS
  SELECT note, count(*) AS "How Many", public.total(id) AS total FROM public.shown GROUP BY note;
CREATE UNIQUE INDEX z_counts_note ON public.z_counts (note);
CREATE INDEX z_counts_expr ON public.z_counts (lower(note)) WHERE "How Many" > 0;
ALTER MATERIALIZED VIEW public.z_counts CLUSTER ON z_counts_note;
ALTER MATERIALIZED VIEW public.z_counts ALTER COLUMN note SET STORAGE EXTERNAL, ALTER COLUMN note SET STATISTICS 55,
  ALTER COLUMN note SET COMPRESSION pglz;
CREATE STATISTICS public.of_counts ON note, "How Many" FROM public.z_counts;
COMMENT ON MATERIALIZED VIEW public.z_counts IS 'of notes';
COMMENT ON COLUMN public.z_counts."How Many" IS 'how many';
COMMENT ON INDEX public.z_counts_note IS 'one each';
CREATE MATERIALIZED VIEW "Odd Schema"."a over it" AS SELECT max("How Many") AS most FROM public.z_counts;
CREATE VIEW public.over_both AS SELECT c.note, a.most FROM public.z_counts c CROSS JOIN "Odd Schema"."a over it" a;
CREATE MATERIALIZED VIEW public.never AS SELECT * FROM public.over_both WITH NO DATA;
CREATE INDEX ON public.never (most);
CREATE FUNCTION public.hidden() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM public.z_counts); END';
CREATE MATERIALIZED VIEW public.a_hides AS SELECT public.hidden() AS n;

-- event triggers in every state, and what they do
CREATE TABLE public.ddl (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag text);
CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $f$
BEGIN INSERT INTO public.ddl (tag) VALUES (tg_tag); END $f$;
CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION public.on_ddl();
CREATE EVENT TRIGGER "Of Drops" ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP VIEW') EXECUTE FUNCTION public.on_ddl();
CREATE EVENT TRIGGER off ON ddl_command_start EXECUTE FUNCTION public.on_ddl();
CREATE EVENT TRIGGER always ON table_rewrite EXECUTE FUNCTION public.on_ddl();
ALTER EVENT TRIGGER off DISABLE;
ALTER EVENT TRIGGER always ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER watcher IS 'sees all';

-- privileges of today and of tomorrow
GRANT SELECT ON public.z_counts TO "a reader";
GRANT EXECUTE ON FUNCTION public.total(float8) TO "a reader" WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION public.middle(float8, anyelement) FROM PUBLIC;
REVOKE USAGE ON LANGUAGE "pl/odd" FROM PUBLIC;
GRANT USAGE ON TYPE "Odd Schema"."Span" TO "a reader";
REVOKE EXECUTE ON FUNCTION "Out Side".vector_in(cstring, oid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO "a reader";
ALTER DEFAULT PRIVILEGES FOR ROLE "App Owner" IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO "a reader";
ALTER DEFAULT PRIVILEGES FOR ROLE "App Owner" GRANT USAGE ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "App Owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA "Odd Schema" GRANT ALL ON TABLES TO "a reader" WITH GRANT OPTION;
