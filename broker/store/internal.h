/* What the files of store/ share. */
#ifndef HATO_STORE_INTERNAL_H
#define HATO_STORE_INTERNAL_H

#include <rocksdb/c.h>
#include <stdatomic.h>

#include "store/guard.h"
#include "store/store.h"

#define STORE_BULK_PREFIX "bulk-" /* of files not yet part of the store */

struct store_env {
    rocksdb_env_t *memory;
    atomic_bool full;
    atomic_uint files_left; /* until it is full; 0: not limited */
};

struct store {
    char *dir;
    struct store_env *in_memory; /* NULL: on a disk */
    rocksdb_t *db;
    rocksdb_env_t *env; /* the default one, or that in memory */
    rocksdb_cache_t *cache;
    rocksdb_options_t *options[STORE_FAMILIES];
    rocksdb_column_family_handle_t *families[STORE_FAMILIES];
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    struct guard *guard; /* NULL: in memory */
    atomic_uint bulks;   /* names their files */
    atomic_bool stale;   /* a call of ours had no space: store_was_full */
    atomic_bool refused_bulk;
};

struct store_snapshot {
    const rocksdb_snapshot_t *at;
};

/* options.c: what RocksDB is told. */
rocksdb_options_t *store_options_create(enum store_family f, const struct store_options *o, rocksdb_env_t *env,
                                        rocksdb_cache_t *cache, struct error *e);

/* status.c: RocksDB's message as our error; frees `status`. `what` was being done. Returns the code. */
int store_status(char *status, const char *dir, const char *what, struct error *e);
/* ERR_CORRUPT: a file is not there though others tell that it must have been. */
int store_file_missing(const char *dir, const char *file, struct error *e);
/* ERR_CORRUPT: a file is not as it was; `why` tells. */
int store_file_damaged(const char *dir, const char *file, const char *why, struct error *e);

/* store.c: ERR_STORAGE_FULL if its memory was told to be full; `what` was to be done. */
void store_took_file(const struct store *s); /* of bodies or state, ingested whole */
int store_room(const struct store *s, const char *what, struct error *e);
/* store.c: whether RocksDB may take itself for stopped: store_needs_reopening. */
bool store_was_full(const struct store *s);
/* store.c: all that the store has in files now is there for good. */
int store_settle(struct store *s, struct error *e);
/* store.c: store_status of what RocksDB did to its own files. */
int store_failed(struct store *s, char *status, const char *what, struct error *e);

/* batch.c: the changes as RocksDB's own batch, valid until the batch is changed. */
rocksdb_writebatch_t *store_batch_made(struct store *s, struct store_batch *b);

#endif
