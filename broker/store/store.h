/* RocksDB, and the only place that knows it: one database a node, shared by its shards, with two column families:
 * `state` (the machines' keys) and `bodies` (spilled messages: written once, in order, dropped by range).
 *
 * Durability: its write-ahead log is off. The Raft log is replayed from the applied index that each machine writes
 * in the same batch as its changes; `store_flush` makes all that was written durable. Every read verifies
 * RocksDB's checksums; what is corrupt is ERR_CORRUPT with the file that RocksDB names and what to do, and iterators
 * are always asked for their error at the end.
 *
 * Threads: a `struct store` may be used from any thread; a batch or iterator belongs to one. */
#ifndef HATO_STORE_STORE_H
#define HATO_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct store;
struct store_batch;
struct store_env;
struct store_iterator;
struct store_snapshot;

enum store_family { STORE_STATE, STORE_BODIES, STORE_FAMILIES };

struct store_options {
    const char *dir;         /* created when missing */
    uint64_t cache_bytes;    /* block cache; 0: 32 MiB */
    uint64_t memtable_bytes; /* 0: 32 MiB */
    bool in_memory;          /* a RocksDB memory environment: the simulator's; `env` keeps it across reopening */
    struct store_env *env;   /* borrowed; when in_memory */
};

/* An in-memory file system that outlives one store, so that the simulator can crash and reopen it. */
struct store_env *store_env_create(void);
void store_env_destroy(struct store_env *env);
/* From then on its store refuses whatever takes space (writes, flushes, new files) with ERR_STORAGE_FULL, until told otherwise. */
void store_env_fill(struct store_env *env, bool full);
void store_env_fill_after(struct store_env *env, unsigned files); /* from when it took so many more files in bulk */

int store_open(const struct store_options *options, struct store **out, struct error *e);
void store_close(struct store *s); /* accepts NULL; what was not flushed is lost, as in a crash */

/* Changes that become visible together. A batch keeps the last change of each key only: what is rewritten ten times
 * before store_write is written once. Keys and values are copied. */
struct store_batch *store_batch_create(void);
void store_batch_destroy(struct store_batch *b);
void store_batch_clear(struct store_batch *b);
uint32_t store_batch_count(const struct store_batch *b);
void store_put(struct store_batch *b, enum store_family f, struct bytes key, struct bytes value);
/* A put of a key that is not in the store, nor, by what the batch did before, would be: if the batch deletes it later, neither is
 * written. */
void store_put_new(struct store_batch *b, enum store_family f, struct bytes key, struct bytes value);
void store_delete(struct store_batch *b, enum store_family f, struct bytes key);
void store_delete_range(struct store_batch *b, enum store_family f, struct bytes from,
                        struct bytes to);                                 /* [from, to) */
int store_write(struct store *s, struct store_batch *b, struct error *e); /* the batch stays as it is */

/* Whether it takes writes: ERR_STORAGE_FULL from when its disk was full until it has found by itself, after some seconds, that there
 * is space again. */
int store_probe(struct store *s, struct error *e);

/* Whether a bulk was refused because the disk had once been too full for the store. RocksDB goes on by itself when there is space again,
 * but that of Debian 12 (7.8) keeps taking itself for stopped: a flush returns before it is done (store_flush looks after it), and a file
 * to be taken in would get the number 0. From then on bulks are ERR_STORAGE_FULL, until the store is closed and opened again. */
bool store_needs_reopening(const struct store *s);
uint64_t store_unwritten_bytes(struct store *s); /* what it has in memory and will want of the disk, at most */

/* Appends the changes of `from`, which stays as it is, to those of `into`. */
void store_batch_merge(struct store_batch *into, const struct store_batch *from);
/* How much a batch holds, superseded changes included. */
size_t store_batch_bytes(const struct store_batch *b);

/* What the batch does to a key: STORE_BATCH_PUT (`*value` is valid until the batch is changed), STORE_BATCH_DELETED
 * (also by a range), or STORE_BATCH_UNTOUCHED: then the store's value counts. */
enum store_batch_state { STORE_BATCH_UNTOUCHED, STORE_BATCH_PUT, STORE_BATCH_DELETED };
enum store_batch_state store_batch_get(const struct store_batch *b, enum store_family f, struct bytes key,
                                       struct bytes *value);

/* Appends the value to `out`; ERR_NOT_FOUND when there is none. */
int store_get(struct store *s, enum store_family f, struct bytes key, struct buffer *out, struct error *e);

/* The value at the time of the snapshot. */
int store_get_at(struct store *s, enum store_family f, struct bytes key, const struct store_snapshot *snapshot,
                 struct buffer *out, struct error *e);

/* The last key of [from, to) and its value, each replacing what the buffer held; ERR_NOT_FOUND when there is none. */
int store_get_last(struct store *s, enum store_family f, struct bytes from, struct bytes to, struct buffer *key,
                   struct buffer *value, struct error *e);

/* Over [from, to), in order; both are copied. `snapshot` may be NULL. After it became invalid ask store_iterator_error.
 * */
struct store_iterator *store_iterate(struct store *s, enum store_family f, struct bytes from, struct bytes to,
                                     const struct store_snapshot *snapshot);
bool store_iterator_valid(const struct store_iterator *i);
void store_iterator_next(struct store_iterator *i);
void store_iterator_seek(struct store_iterator *i, struct bytes key);
/* One that is invalid from the start and gives this error: for what had to come before reading and failed. */
struct store_iterator *store_iterator_failed(const struct error *why);
struct bytes store_iterator_key(const struct store_iterator *i); /* valid until the next move */
struct bytes store_iterator_value(const struct store_iterator *i);
int store_iterator_error(const struct store_iterator *i, struct error *e);
void store_iterator_close(struct store_iterator *i);

struct store_snapshot *store_snapshot_open(struct store *s);
void store_snapshot_close(struct store *s, struct store_snapshot *snapshot); /* accepts NULL */

/* Blocking: memtables to files, fsynced. */
int store_flush(struct store *s, enum store_family f, struct error *e);

/* Many keys at once, straight into a file that becomes part of the store: no memtable, nothing to compact, and durable
 * when store_bulk_finish says so. This is how bodies are spilled: keys ascend, one bulk holds one shard's. Nothing is
 * visible before the finish. A bulk belongs to one thread; it may work while others read and write. */
struct store_bulk;
int store_bulk_open(struct store *s, enum store_family f, struct store_bulk **out, struct error *e);
int store_bulk_put(struct store_bulk *b, struct bytes key, struct bytes value,
                   struct error *e);                          /* greater than the last */
uint64_t store_bulk_bytes(const struct store_bulk *b);        /* put so far: finish at some 64 MiB, begin another */
int store_bulk_finish(struct store_bulk *b, struct error *e); /* blocking; frees b whatever comes back */
void store_bulk_abandon(struct store_bulk *b);                /* frees, nothing stays; accepts NULL */

/* Drops [from, to) by whole files where possible, the rest by tombstone. */
int store_drop_range(struct store *s, enum store_family f, struct bytes from, struct bytes to, struct error *e);

uint64_t store_bytes(struct store *s);        /* on disk */
uint64_t store_memory_bytes(struct store *s); /* cache, memtables, table readers */

#endif
