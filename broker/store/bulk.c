#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/internal.h"

struct store_bulk {
    struct store *store;
    enum store_family family;
    rocksdb_envoptions_t *env_options;
    rocksdb_sstfilewriter_t *writer;
    uint64_t bytes;
    char path[]; /* terminated */
};

static void destroy(struct store_bulk *b)
{
    rocksdb_sstfilewriter_destroy(b->writer);
    rocksdb_envoptions_destroy(b->env_options);
    if (b->store->in_memory == NULL)
        (void)unlink(b->path); /* ingestion gave the file another name, or it is not wanted */
    memory_free(b);
}

static int refuse_after_full(struct store *s, struct error *e)
{
    if (!store_was_full(s))
        return ERR_OK;
    atomic_store(&s->refused_bulk, true);
    return error_set(e, ERR_STORAGE_FULL, "adding a file to the store: there was no space left on the disk of %s",
                     s->dir);
}

int store_bulk_open(struct store *s, enum store_family f, struct store_bulk **out, struct error *e)
{
    int code = refuse_after_full(s, e);
    if (code != ERR_OK)
        return code;
    size_t room = strlen(s->dir) + sizeof STORE_BULK_PREFIX + 32;
    struct store_bulk *b = memory_zero(1, sizeof *b + room);
    b->store = s;
    b->family = f;
    snprintf(b->path, room, "%s/" STORE_BULK_PREFIX "%u.sst", s->dir, atomic_fetch_add(&s->bulks, 1U));
    b->env_options = rocksdb_envoptions_create();
    b->writer = rocksdb_sstfilewriter_create(b->env_options, s->options[f]);
    char *status = NULL;
    rocksdb_sstfilewriter_open(b->writer, b->path, &status);
    if (status != NULL) {
        destroy(b);
        return store_status(status, s->dir, "beginning a file of the store", e);
    }
    *out = b;
    return ERR_OK;
}

int store_bulk_put(struct store_bulk *b, struct bytes key, struct bytes value, struct error *e)
{
    char *status = NULL;
    rocksdb_sstfilewriter_put(b->writer, (const char *)key.data, key.len, (const char *)value.data, value.len, &status);
    if (status != NULL)
        return store_status(status, b->store->dir, "writing a file of the store", e);
    b->bytes += key.len + value.len;
    return ERR_OK;
}

uint64_t store_bulk_bytes(const struct store_bulk *b)
{
    return b->bytes;
}

static int ingest(struct store_bulk *b, struct error *e)
{
    int code = refuse_after_full(b->store, e); /* since it was begun */
    if (code != ERR_OK)
        return code;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    /* Bodies are read by key, never at a snapshot: without one the file needs no new sequence number, and lands below.
     * */
    rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, b->family == STORE_STATE);
    const char *files[] = {b->path};
    char *status = NULL;
    rocksdb_ingest_external_file_cf(b->store->db, b->store->families[b->family], files, 1, options, &status);
    rocksdb_ingestexternalfileoptions_destroy(options);
    if (status != NULL)
        return store_failed(b->store, status, "adding a file to the store", e);
    return store_settle(b->store, e);
}

int store_bulk_finish(struct store_bulk *b, struct error *e)
{
    int code = ERR_OK;
    if (b->bytes > 0)
        code = store_room(b->store, "finishing a file of the store", e);
    if (b->bytes > 0 && code == ERR_OK) {
        char *status = NULL;
        rocksdb_sstfilewriter_finish(b->writer, &status);
        code = status == NULL ? ingest(b, e) : store_status(status, b->store->dir, "finishing a file of the store", e);
    }
    if (b->bytes > 0 && code == ERR_OK)
        store_took_file(b->store);
    destroy(b);
    return code;
}

void store_bulk_abandon(struct store_bulk *b)
{
    if (b != NULL)
        destroy(b);
}
