-- A database with one of everything that is held, and awkward names. Tests take it to pieces and build it again.
CREATE SCHEMA "Odd Schema";
CREATE SCHEMA letta;
COMMENT ON SCHEMA letta IS 'where the agents live; it''s "theirs"';
CREATE EXTENSION vector WITH SCHEMA letta;

CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'it''s fine');
ALTER TYPE public.mood ADD VALUE 'between' BEFORE 'ok';
COMMENT ON TYPE public.mood IS 'how it felt';
CREATE TYPE "Odd Schema"."select" AS ENUM ('a', 'B c', 'ü');
CREATE TYPE public.pair AS (x integer, "Y" text COLLATE "C");
COMMENT ON COLUMN public.pair."Y" IS 'the other';
CREATE DOMAIN public.score AS real DEFAULT 0.5 CONSTRAINT score_range CHECK (VALUE >= 0) CHECK (VALUE <= 1);
CREATE DOMAIN public.embedding AS letta.vector(3);
CREATE DOMAIN public.short AS text COLLATE "C" NOT NULL CONSTRAINT "is short" CHECK (length(VALUE) < 100);
ALTER DOMAIN public.short ADD CONSTRAINT never_checked CHECK (VALUE <> '') NOT VALID;
COMMENT ON CONSTRAINT "is short" ON DOMAIN public.short IS 'a note';

CREATE SEQUENCE public.ticket AS integer START WITH 7 INCREMENT BY 3 MINVALUE -5 MAXVALUE 1000 CACHE 4 CYCLE;
SELECT nextval('public.ticket'), nextval('public.ticket');
CREATE SEQUENCE public.fresh;
CREATE SEQUENCE public.down INCREMENT BY -1;
SELECT setval('public.down', -40, false);
CREATE SEQUENCE public.exhausted MAXVALUE 2;
SELECT setval('public.exhausted', 2);
COMMENT ON SEQUENCE public.fresh IS 'nobody drew from it';

CREATE FUNCTION public.shout(words text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  AS $f$SELECT upper(words) || '!'$f$;
CREATE FUNCTION public.shout(words text, times integer) RETURNS text LANGUAGE plpgsql AS $f$
BEGIN RETURN repeat(public.shout(words), times); END $f$;
CREATE PROCEDURE letta.tidy(INOUT n integer DEFAULT 3) LANGUAGE plpgsql AS $p$ BEGIN n := n + 1; END $p$;
COMMENT ON FUNCTION public.shout(text) IS 'LOUD';
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN NEW.updated_at := '2001-01-01'; RETURN NEW; END $f$;
CREATE FUNCTION public.count_it() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN INSERT INTO public.fired VALUES (nextval('public.fresh'), TG_TABLE_NAME, TG_OP); RETURN NULL; END $f$;

CREATE TABLE public.fired (id bigint PRIMARY KEY, tab text, op text);

CREATE TABLE public.memories (
  gone1 text,
  id uuid PRIMARY KEY,
  content text NOT NULL,
  gone2 integer DEFAULT 5,
  embedding letta.vector(3),
  small letta.halfvec(4),
  sparse letta.sparsevec(5),
  any_size letta.vector,
  dom public.embedding,
  feeling public.mood DEFAULT 'ok',
  heat public.score,
  meta jsonb DEFAULT '{"a": [1, 2]}'::jsonb,
  raw json,
  shouted text GENERATED ALWAYS AS (public.shout(content)) STORED,
  doubled integer GENERATED ALWAYS AS (length(content) * 2) VIRTUAL,
  updated_at timestamptz DEFAULT now(),
  "limit" integer,
  tags text[] DEFAULT ARRAY['x'::text],
  search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, content)) STORED,
  code varchar(12) COLLATE "C",
  big text,
  ticket integer DEFAULT nextval('public.ticket'::regclass)
) WITH (autovacuum_enabled = false, fillfactor = 80, toast.autovacuum_enabled = false);
ALTER TABLE public.memories DROP COLUMN gone1, DROP COLUMN gone2;
ALTER TABLE public.memories ADD COLUMN late smallint NOT NULL DEFAULT -1;
ALTER TABLE public.memories ALTER COLUMN big SET STORAGE EXTERNAL, ALTER COLUMN raw SET COMPRESSION pglz;
ALTER TABLE public.memories ALTER COLUMN "limit" SET STATISTICS 250, ALTER COLUMN code SET (n_distinct = 5);
ALTER TABLE public.memories ALTER COLUMN embedding SET STORAGE MAIN;
COMMENT ON TABLE public.memories IS 'what the agents know';
COMMENT ON COLUMN public.memories."limit" IS E'a back\\slash and a ''quote''';
ALTER TABLE public.memories ADD CONSTRAINT "content is short" CHECK (length(content) < 1000);
ALTER TABLE public.memories ADD CONSTRAINT one_code UNIQUE NULLS NOT DISTINCT (code, "limit") INCLUDE (late)
  DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT "content is short" ON public.memories IS 'so that it fits';
CREATE INDEX memories_hnsw ON public.memories USING hnsw (embedding letta.vector_cosine_ops) WITH (m = 8, ef_construction = 40);
CREATE INDEX memories_ivf ON public.memories USING ivfflat (embedding letta.vector_l2_ops) WITH (lists = 2);
CREATE INDEX memories_half ON public.memories USING hnsw (small letta.halfvec_ip_ops);
CREATE INDEX memories_cast ON public.memories USING hnsw ((any_size::letta.vector(3)) letta.vector_l2_ops) WHERE late < 0;
CREATE INDEX memories_meta ON public.memories USING gin (meta jsonb_path_ops);
CREATE INDEX memories_search ON public.memories USING gin (search) WITH (fastupdate = off);
CREATE INDEX "memories by SHOUT" ON public.memories (public.shout(content) text_pattern_ops DESC NULLS LAST) INCLUDE (late)
  WHERE feeling <> 'sad';
CREATE UNIQUE INDEX memories_lower ON public.memories (lower(code));
CREATE INDEX memories_brin ON public.memories USING brin (updated_at) WITH (pages_per_range = 4);
CREATE INDEX memories_hash ON public.memories USING hash (code);
ALTER INDEX public."memories by SHOUT" ALTER COLUMN 1 SET STATISTICS 77;
COMMENT ON INDEX public.memories_hnsw IS 'the dear one';
CREATE STATISTICS public.memories_stats (dependencies, ndistinct) ON late, "limit" FROM public.memories;
ALTER STATISTICS public.memories_stats SET STATISTICS 50;
COMMENT ON STATISTICS public.memories_stats IS 'they go together';
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON public.memories FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER "a count" AFTER INSERT OR UPDATE OR DELETE ON public.memories FOR EACH ROW EXECUTE FUNCTION public.count_it();
CREATE TRIGGER sleeping AFTER DELETE ON public.memories FOR EACH STATEMENT EXECUTE FUNCTION public.count_it();
CREATE TRIGGER always AFTER TRUNCATE ON public.memories FOR EACH STATEMENT EXECUTE FUNCTION public.count_it();
CREATE TRIGGER replica AFTER UPDATE OF late ON public.memories FOR EACH ROW WHEN (NEW.late > 5) EXECUTE FUNCTION public.count_it();
ALTER TABLE public.memories DISABLE TRIGGER sleeping;
ALTER TABLE public.memories ENABLE ALWAYS TRIGGER always;
ALTER TABLE public.memories ENABLE REPLICA TRIGGER replica;
COMMENT ON TRIGGER touch ON public.memories IS 'sets updated_at';
ALTER TABLE public.memories REPLICA IDENTITY FULL;

-- a cycle, self references, and the kinds of foreign keys
CREATE TABLE public.block (id text PRIMARY KEY, current_history bigint, parent text REFERENCES public.block ON DELETE SET NULL);
CREATE TABLE public.block_history (
  id bigserial PRIMARY KEY, block text NOT NULL, n integer, UNIQUE (block, n),
  CONSTRAINT of_block FOREIGN KEY (block) REFERENCES public.block ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
ALTER TABLE public.block ADD CONSTRAINT current FOREIGN KEY (current_history) REFERENCES public.block_history ON UPDATE CASCADE;
COMMENT ON CONSTRAINT current ON public.block IS 'round and round';
CREATE TABLE public.loose (
  block text, n integer, at timestamptz, PRIMARY KEY (at, block),
  FOREIGN KEY (block, n) REFERENCES public.block_history (block, n) MATCH FULL ON DELETE CASCADE
);
ALTER TABLE public.loose CLUSTER ON loose_pkey;

CREATE TABLE "Odd Schema"."Order ""66"".x-y" (
  "select" integer GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 10),
  "Grüße an %s" text, "kind" "Odd Schema"."select", during int4range, p point,
  numbers numeric(8, 3) PRIMARY KEY,
  CONSTRAINT "no overlap" EXCLUDE USING gist (during WITH &&) WHERE (NOT lower_inf(during))
);
ALTER TABLE "Odd Schema"."Order ""66"".x-y" ADD UNIQUE ("select") WITH (fillfactor = 90);
ALTER TABLE "Odd Schema"."Order ""66"".x-y" REPLICA IDENTITY USING INDEX "Order ""66"".x-y_select_key";
CREATE TABLE "Odd Schema".by_default (id smallint GENERATED BY DEFAULT AS IDENTITY (MAXVALUE 500 CYCLE) PRIMARY KEY, f float8);
CREATE UNLOGGED TABLE letta.scratch (id integer PRIMARY KEY, note public.short);
CREATE TABLE letta.floats (f float8, g real, t text, PRIMARY KEY (f, t, g));
CREATE TABLE letta.named_null (id integer CONSTRAINT must_be NOT NULL PRIMARY KEY, v text CONSTRAINT "v must" NOT NULL);
CREATE TABLE letta.doubtful_null (id integer PRIMARY KEY, v text);
INSERT INTO letta.doubtful_null VALUES (1, NULL);
ALTER TABLE letta.doubtful_null ADD CONSTRAINT "v later" NOT NULL v NOT VALID;
CREATE TABLE letta.empty (id bigint PRIMARY KEY, e letta.vector(3));
CREATE INDEX ON letta.empty USING hnsw (e letta.vector_l2_ops);
CREATE TABLE public.uses_a_view (id integer PRIMARY KEY);

CREATE VIEW public.happy WITH (security_barrier = true) AS SELECT id, content, embedding FROM public.memories WHERE feeling <> 'sad';
CREATE VIEW public.by_key AS SELECT b.*, count(h.id) AS histories FROM public.block b LEFT JOIN public.block_history h ON h.block = b.id GROUP BY b.id;
CREATE VIEW letta."on top" AS SELECT * FROM public.happy JOIN (SELECT id AS "ID" FROM public.memories) AS m ON m."ID" = id;
COMMENT ON VIEW public.happy IS 'without the sad ones';
COMMENT ON COLUMN public.happy.content IS 'words';
ALTER VIEW public.happy ALTER COLUMN content SET DEFAULT 'hello';
CREATE FUNCTION public.first_happy() RETURNS public.happy LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT * FROM public.happy ORDER BY id LIMIT 1;
END;
CREATE FUNCTION letta.how_many(public.memories) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM public.memories';
CREATE FUNCTION letta.instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER instead INSTEAD OF INSERT ON public.happy FOR EACH ROW EXECUTE FUNCTION letta.instead();
ALTER TABLE public.block ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.loose ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON public.block AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (id <> 'x') WITH CHECK (parent IS NOT NULL);
CREATE POLICY yours ON public.loose FOR SELECT USING (n > 0);
COMMENT ON POLICY mine ON public.block IS 'not x';

-- rows
INSERT INTO public.memories (id, content, embedding, small, sparse, any_size, dom, feeling, heat, raw, "limit", tags, code, big, late)
SELECT md5(i::text)::uuid, 'memory ' || i || E' \t\\ ünïcode', ARRAY[i, i * 0.1, -i]::real[]::letta.vector(3),
  ARRAY[i, 1, 2, 3]::real[]::letta.halfvec(4), ('{1:' || i || '}/5')::letta.sparsevec,
  (SELECT array_agg(x) FROM generate_series(1, 3) x)::real[]::letta.vector, ARRAY[1, 2, i]::real[]::letta.vector,
  (ARRAY['sad', 'between', 'ok', 'it''s fine'])[1 + i % 4]::public.mood, (i % 10) / 10.0,
  '{"b": 1,  "a": 1.10, "a": 2}', i, ARRAY['t' || i, NULL, 'a,b'], 'C' || i, repeat(i::text, 3000), -(i % 3)
FROM generate_series(1, 60) i;
INSERT INTO public.memories (id, content) VALUES ('00000000-0000-0000-0000-000000000000', '');
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE public.memories ADD CONSTRAINT unchecked CHECK ("limit" <> 13) NOT VALID;
INSERT INTO public.block VALUES ('a', NULL, NULL), ('b', NULL, 'a'), ('c', NULL, 'c');
INSERT INTO public.block_history (block, n) VALUES ('a', 1), ('a', 2), ('b', 1);
UPDATE public.block SET current_history = 2 WHERE id = 'a';
INSERT INTO public.loose VALUES ('a', 1, 'infinity'), ('b', 1, '2020-01-01 BC'), ('b', 1, '-infinity');
ALTER TABLE public.loose ADD CONSTRAINT doubtful FOREIGN KEY (block) REFERENCES public.block NOT VALID;
INSERT INTO "Odd Schema"."Order ""66"".x-y" ("Grüße an %s", kind, during, p, numbers)
VALUES ('Ä', 'B c', '[1,5)', '(1,2)', 1.500), (NULL, 'ü', '[5,9)', NULL, -12345.678), ('100%', NULL, NULL, NULL, 0);
INSERT INTO "Odd Schema".by_default (f) VALUES ('NaN'), ('-0'), (1e300);
INSERT INTO letta.scratch VALUES (1, 'note');
INSERT INTO letta.floats VALUES ('NaN', 0, 'x'), ('-0', 1.5, E'a'), (-1e10, -2, ''), ('Infinity', 'NaN', 'y');
INSERT INTO letta.named_null VALUES (5, 'v');
INSERT INTO public.uses_a_view VALUES (1), (-2147483648), (2147483647);
