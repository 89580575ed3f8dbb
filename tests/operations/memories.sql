-- Memory schemas as agents' frameworks make them, each with the traps of the original.

CREATE EXTENSION vector;

-- Letta: enums, text keys, composite keys, circular and composite deferrable foreign keys, tables without a key, a
-- free-standing sequence as a default, zero-padded vectors, json beside jsonb, columns named limit and value, and a
-- long history of dropped columns.
CREATE SCHEMA letta;
CREATE TYPE letta.sandboxtype AS ENUM ('E2B', 'LOCAL');
CREATE TYPE letta."jobStatus" AS ENUM ('created', 'running', 'in-progress', 'done');
CREATE SEQUENCE letta.message_seq_id;
CREATE TABLE letta.organizations (id text PRIMARY KEY, name varchar NOT NULL, privileged_tools boolean NOT NULL);
CREATE TABLE letta.block (
  id text PRIMARY KEY, label text NOT NULL, value text NOT NULL, "limit" bigint NOT NULL, metadata json, version int DEFAULT 1 NOT NULL,
  current_history_entry_id text, organization_id text REFERENCES letta.organizations, is_deleted boolean DEFAULT false NOT NULL,
  CONSTRAINT unique_block_id_label UNIQUE (id, label)
);
CREATE INDEX ix_block_current_history_entry_id ON letta.block (current_history_entry_id);
CREATE TABLE letta.block_history (
  id text PRIMARY KEY, block_id text NOT NULL REFERENCES letta.block ON DELETE CASCADE, sequence_number int NOT NULL, value text NOT NULL
);
CREATE UNIQUE INDEX ix_block_history_block_id_sequence ON letta.block_history (block_id, sequence_number);
ALTER TABLE letta.block ADD FOREIGN KEY (current_history_entry_id) REFERENCES letta.block_history;
CREATE TABLE letta.agents (id text PRIMARY KEY, name text, message_ids json, tool_rules jsonb, llm_config json, updated_at timestamptz DEFAULT now());
CREATE TABLE letta.blocks_agents (
  agent_id text NOT NULL REFERENCES letta.agents, block_id text NOT NULL, block_label text NOT NULL,
  CONSTRAINT unique_label_per_agent UNIQUE (agent_id, block_label), CONSTRAINT unique_agent_block UNIQUE (agent_id, block_id),
  CONSTRAINT fk_block_id_label FOREIGN KEY (block_id, block_label) REFERENCES letta.block (id, label) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE letta.tools_agents (agent_id text REFERENCES letta.agents ON DELETE CASCADE, tool_id text, UNIQUE (agent_id, tool_id));
CREATE TABLE letta.agents_tags (agent_id text, tag text, CONSTRAINT unique_agent_tag UNIQUE (agent_id, tag));
CREATE TABLE letta.messages (
  id text NOT NULL, agent_id text REFERENCES letta.agents, sequence_id bigint DEFAULT nextval('letta.message_seq_id') NOT NULL UNIQUE,
  content json, created_at timestamptz NOT NULL, PRIMARY KEY (created_at, id)
);
CREATE TABLE letta.archival_passages (id text PRIMARY KEY, text text NOT NULL, embedding vector(4096), embedding_config json NOT NULL, status letta."jobStatus");
DO $$ BEGIN
  FOR i IN 1..41 LOOP
    EXECUTE format('ALTER TABLE letta.%I ADD gone_%s text DEFAULT ''x''', (ARRAY['agents', 'block', 'archival_passages'])[1 + i % 3], i);
    EXECUTE format('ALTER TABLE letta.%I DROP gone_%s', (ARRAY['agents', 'block', 'archival_passages'])[1 + i % 3], i);
  END LOOP;
END $$;
INSERT INTO letta.organizations VALUES ('org-1', 'one', true);
INSERT INTO letta.agents SELECT 'agent-' || i, 'agent ' || i, '["message-1",  "message-2"]', '[{"b": 1, "a": 2}]', '{"a":1,"a":2,"x":"\u0000"}', now()
  FROM generate_series(1, 20) i;
BEGIN;
INSERT INTO letta.block SELECT 'block-' || i, 'label' || i % 3, 'value ' || i, 5000, '{"k": 1.10}', i, NULL, 'org-1' FROM generate_series(1, 60) i;
INSERT INTO letta.block_history SELECT 'h-' || i, 'block-' || i, 1, 'before ' || i FROM generate_series(1, 60) i;
UPDATE letta.block SET current_history_entry_id = 'h-' || substr(id, 7);
INSERT INTO letta.blocks_agents SELECT 'agent-' || i, 'block-' || i, 'label' || i % 3 FROM generate_series(1, 20) i;
COMMIT;
INSERT INTO letta.tools_agents VALUES ('agent-1', 'tool-1'), ('agent-1', NULL), ('agent-1', NULL), (NULL, NULL);
INSERT INTO letta.agents_tags VALUES ('agent-1', 'x'), (NULL, 'y'), (NULL, 'y');
INSERT INTO letta.messages SELECT 'message-' || i, 'agent-' || 1 + i % 20, nextval('letta.message_seq_id'), '{"type" : "text"}', '2026-01-01'::timestamptz + i * '1 s'::interval
  FROM generate_series(1, 300) i;
INSERT INTO letta.archival_passages SELECT 'passage-' || i, 'text ' || i, (array_agg(sin(i * n)) || array_fill(0::float8, ARRAY[3712]))::float4[]::vector, '{}', 'in-progress'
  FROM generate_series(1, 6) i, generate_series(1, 384) n GROUP BY i;

-- LangChain: an untyped vector with two dimensions in one column, json metadata, names nobody would choose.
CREATE TABLE langchain_pg_collection (uuid uuid PRIMARY KEY, name varchar NOT NULL UNIQUE, cmetadata json);
CREATE TABLE langchain_pg_embedding (
  id varchar PRIMARY KEY, collection_id uuid REFERENCES langchain_pg_collection ON DELETE CASCADE, embedding vector, document varchar, cmetadata jsonb
);
CREATE INDEX ix_cmetadata_gin ON langchain_pg_embedding USING gin (cmetadata jsonb_path_ops);
INSERT INTO langchain_pg_collection VALUES ('b5f3bd6a-0000-4000-8000-000000000001', 'small', '{"z": 1, "a": 2}'), ('b5f3bd6a-0000-4000-8000-000000000002', 'large', NULL);
INSERT INTO langchain_pg_embedding SELECT 'id' || i, ('b5f3bd6a-0000-4000-8000-00000000000' || 1 + i % 2)::uuid,
  CASE i % 2 WHEN 0 THEN '[1,2,3]'::vector ELSE '[-0,1e-40,3,4,5]' END, 'document ' || i, jsonb_build_object('n', i) FROM generate_series(1, 40) i;
CREATE INDEX partly ON langchain_pg_embedding USING hnsw ((embedding::vector(3)) vector_cosine_ops) WHERE vector_dims(embedding) = 3;
CREATE SCHEMA "Tenant-A";
CREATE TABLE "Tenant-A"."agent memories" (
  langchain_id uuid PRIMARY KEY, content text NOT NULL, "Embedding Ü" vector(3) NOT NULL, "order" int, langchain_metadata json, search tsvector NOT NULL
);
INSERT INTO "Tenant-A"."agent memories" SELECT gen_random_uuid(), 'c' || i, '[1,0,0]', i, '{"order":  1}', to_tsvector('simple', 'c') FROM generate_series(1, 10) i;
CREATE TABLE "Tenant-A"."agent memories""" (".." int, "agent memories.order" text, "select" text, PRIMARY KEY ("..", "select"));
INSERT INTO "Tenant-A"."agent memories""" VALUES (1, 'a', 'b');
CREATE TABLE "Tenant-A"."order" ("order" text COLLATE "C" PRIMARY KEY, " " "char");

-- LangGraph: composite text keys, halfvec, a partial index on an expiry, append-only bytea.
CREATE TABLE store (prefix text NOT NULL, key text NOT NULL, value jsonb NOT NULL, created_at timestamptz DEFAULT now(), updated_at timestamptz, expires_at timestamptz,
  ttl_minutes int, PRIMARY KEY (prefix, key));
CREATE INDEX store_prefix_idx ON store USING btree (prefix text_pattern_ops);
CREATE INDEX idx_store_expires_at ON store (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE store_vectors (prefix text NOT NULL, key text NOT NULL, field_name text NOT NULL, embedding halfvec(3), created_at timestamptz,
  PRIMARY KEY (prefix, key, field_name), FOREIGN KEY (prefix, key) REFERENCES store (prefix, key) ON DELETE CASCADE);
CREATE INDEX store_vectors_embedding_idx ON store_vectors USING hnsw (embedding halfvec_cosine_ops) WITH (m = 8, ef_construction = 32);
CREATE TABLE checkpoint_blobs (thread_id text, checkpoint_ns text DEFAULT '', channel text, version text, type text NOT NULL, blob bytea,
  PRIMARY KEY (thread_id, checkpoint_ns, channel, version));
CREATE TABLE checkpoint_migrations (v int PRIMARY KEY); INSERT INTO checkpoint_migrations SELECT generate_series(0, 9);
INSERT INTO store SELECT 'users.' || i % 3, 'k' || i, jsonb_build_object('text', repeat('m', i)), now(), now(), CASE i % 4 WHEN 0 THEN 'infinity'::timestamptz END FROM generate_series(1, 50) i;
INSERT INTO store_vectors SELECT prefix, key, 'text', '[1e-8,65504,-0]', '-infinity' FROM store;
INSERT INTO checkpoint_blobs SELECT 't' || i, '', 'messages', '0000' || i, 'msgpack', decode(repeat('00ff', i * 100), 'hex') FROM generate_series(1, 12) i;

-- LlamaIndex: a bigserial, a generated tsvector, expression indexes.
CREATE TABLE data_llamaindex (id bigserial PRIMARY KEY, text varchar NOT NULL, metadata_ jsonb, node_id varchar, embedding halfvec(4),
  text_search_tsv tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED);
CREATE INDEX data_llamaindex_idx ON data_llamaindex USING gin (text_search_tsv);
CREATE INDEX data_llamaindex_idx_1 ON data_llamaindex USING btree ((metadata_ ->> 'ref_doc_id'));
CREATE INDEX data_llamaindex_embedding_idx ON data_llamaindex USING hnsw (embedding halfvec_l2_ops);
INSERT INTO data_llamaindex (text, metadata_, node_id, embedding) SELECT 'running foxes ' || i, jsonb_build_object('ref_doc_id', 'd' || i % 5), 'n', '[1,2,3,4]' FROM generate_series(1, 30) i;
SELECT setval('data_llamaindex_id_seq', 1000, false);

-- agno and cognee: a schema of its own, hyphens, mixed case, epoch numbers.
CREATE SCHEMA ai;
CREATE TABLE ai.agno_memories (memory_id varchar PRIMARY KEY, memory jsonb NOT NULL, topics jsonb, updated_at bigint, user_id varchar);
CREATE TABLE ai."agno-sessions" (session_id varchar PRIMARY KEY, runs jsonb); CREATE TABLE ai."agno-runs" (id varchar PRIMARY KEY, session_id varchar REFERENCES ai."agno-sessions" ON DELETE CASCADE);
CREATE TABLE "DocumentChunk_text" (id uuid PRIMARY KEY, payload json, vector vector(3));
INSERT INTO ai.agno_memories SELECT 'm' || i, '{"b": 1.0}', '["a"]', 1767225600 + i, 'u' FROM generate_series(1, 15) i;
INSERT INTO ai."agno-sessions" VALUES ('s', '[]'); INSERT INTO ai."agno-runs" VALUES ('r', 's');
INSERT INTO "DocumentChunk_text" VALUES ('b5f3bd6a-0000-4000-8000-000000000000', '{"a" :1}', '[1,2,3]');
