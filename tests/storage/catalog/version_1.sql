-- A catalog of version 1 with one row of every kind, as `.dump` of sqlite3 writes it.
-- Never changed: files like this are out in the world.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "counters" VALUES('queue_id',5);
CREATE TABLE exchange_bindings (
    vhost TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    binding_key TEXT NOT NULL,
    arguments BLOB NOT NULL,
    PRIMARY KEY (vhost, destination, source, binding_key, arguments),
    FOREIGN KEY (vhost, destination) REFERENCES exchanges ON DELETE CASCADE,
    FOREIGN KEY (vhost, source) REFERENCES exchanges ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "exchange_bindings" VALUES('/','amq.topic','e','b.*',X'01');
CREATE TABLE exchanges (
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    is_auto_delete INTEGER NOT NULL,
    is_internal INTEGER NOT NULL,
    arguments BLOB NOT NULL,
    PRIMARY KEY (vhost, name)
) WITHOUT ROWID;
INSERT INTO "exchanges" VALUES('/','amq.topic','topic',0,0,X'');
INSERT INTO "exchanges" VALUES('/','e','x-consistent-hash',1,1,X'00FF');
CREATE TABLE global_parameters (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "global_parameters" VALUES('cluster_name','"here"');
CREATE TABLE parameters (
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    component TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (vhost, component, name)
) WITHOUT ROWID;
INSERT INTO "parameters" VALUES('/','shovel','s','{}');
CREATE TABLE permissions (
    username TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    configure TEXT NOT NULL,
    write TEXT NOT NULL,
    read TEXT NOT NULL,
    PRIMARY KEY (vhost, username)
) WITHOUT ROWID;
INSERT INTO "permissions" VALUES('guest','/','.*','','^a');
CREATE TABLE policies (
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    name TEXT NOT NULL,
    pattern TEXT NOT NULL,
    apply_to TEXT NOT NULL,
    priority INTEGER NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (vhost, name)
) WITHOUT ROWID;
INSERT INTO "policies" VALUES('/','p','^q','queues',-1,'{"max-length": 1}');
CREATE TABLE queue_bindings (
    vhost TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    binding_key TEXT NOT NULL,
    arguments BLOB NOT NULL,
    PRIMARY KEY (vhost, destination, source, binding_key, arguments),
    FOREIGN KEY (vhost, destination) REFERENCES queues (vhost, name) ON DELETE CASCADE,
    FOREIGN KEY (vhost, source) REFERENCES exchanges ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "queue_bindings" VALUES('/','amq.topic','q','a.#',X'');
CREATE TABLE queues (
    id INTEGER NOT NULL PRIMARY KEY,
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_auto_delete INTEGER NOT NULL,
    arguments BLOB NOT NULL,
    UNIQUE (vhost, name)
);
INSERT INTO "queues" VALUES(1,'/','q',1,X'0000000174');
CREATE TABLE topic_permissions (
    username TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    vhost TEXT NOT NULL REFERENCES vhosts ON DELETE CASCADE,
    exchange TEXT NOT NULL,
    write TEXT NOT NULL,
    read TEXT NOT NULL,
    PRIMARY KEY (vhost, username, exchange)
) WITHOUT ROWID;
INSERT INTO "topic_permissions" VALUES('guest','/','amq.topic','^w','^r');
CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT,
    hashing_algorithm TEXT NOT NULL,
    tags TEXT NOT NULL,
    limits TEXT NOT NULL,
    scram_keys TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "users" VALUES('guest','hash','rabbit_password_hashing_sha256','[]','{}','[]');
CREATE TABLE vhosts (
    name TEXT NOT NULL PRIMARY KEY,
    metadata TEXT NOT NULL,
    limits TEXT NOT NULL,
    is_tracing INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "vhosts" VALUES('/','{"description": "d"}','{}',0);
CREATE INDEX permissions_of_user ON permissions (username);
CREATE INDEX topic_permissions_of_user ON topic_permissions (username);
CREATE INDEX queue_bindings_of_source ON queue_bindings (vhost, source);
CREATE INDEX exchange_bindings_of_source ON exchange_bindings (vhost, source);
COMMIT;
PRAGMA application_id = 1095586114;
PRAGMA user_version = 1;
