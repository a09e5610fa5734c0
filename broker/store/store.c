#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/disk.h"
#include "base/memory.h"
#include "store/internal.h"

enum { CACHE_BYTES = 32 << 20 };

/* RocksDB wants a family of this name; ours is it, so that none is kept for nothing. */
static const char *const FAMILY_NAMES[STORE_FAMILIES] = {"default", "bodies"};

struct store_env *store_env_create(void)
{
    struct store_env *env = memory_zero(1, sizeof *env);
    env->memory = rocksdb_create_mem_env();
    return env;
}

void store_env_destroy(struct store_env *env)
{
    rocksdb_env_destroy(env->memory);
    memory_free(env);
}

void store_env_fill(struct store_env *env, bool full)
{
    atomic_store(&env->files_left, 0);
    atomic_store(&env->full, full);
}

void store_env_fill_after(struct store_env *env, unsigned files)
{
    atomic_store(&env->full, files == 0);
    atomic_store(&env->files_left, files);
}

void store_took_file(const struct store *s)
{
    struct store_env *env = s->in_memory;
    if (env != NULL && atomic_load(&env->files_left) > 0 && atomic_fetch_sub(&env->files_left, 1) == 1)
        atomic_store(&env->full, true);
}

int store_room(const struct store *s, const char *what, struct error *e)
{
    if (s->in_memory == NULL || !atomic_load(&s->in_memory->full))
        return ERR_OK;
    return error_set(e, ERR_STORAGE_FULL, "%s: no space left in the memory of %s", what, s->dir);
}

static uint64_t property_of(const struct store *s, enum store_family f, const char *name)
{
    uint64_t value = 0;
    (void)rocksdb_property_int_cf(s->db, s->families[f], name, &value);
    return value;
}

/* Failures in the background so far; all are counted for the first family. */
static uint64_t background_errors(const struct store *s)
{
    return property_of(s, STORE_STATE, "rocksdb.background-errors");
}

bool store_was_full(const struct store *s)
{
    return atomic_load(&s->stale) || background_errors(s) > 0;
}

bool store_needs_reopening(const struct store *s)
{
    return atomic_load(&s->refused_bulk);
}

int store_failed(struct store *s, char *status, const char *what, struct error *e)
{
    int code = store_status(status, s->dir, what, e);
    if (code == ERR_STORAGE_FULL)
        atomic_store(&s->stale, true);
    return code;
}

/* ---------------------------------------------------------------- opening */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static bool ends(const char *name, const char *with)
{
    size_t len = strlen(name), end = strlen(with);
    return len > end && strcmp(name + len - end, with) == 0;
}

/* Whether a directory with this file has had a whole store. Making one writes the first manifest before CURRENT: a crash
 * between them is gone on with. */
static bool is_of_whole_store(const char *name)
{
    return ends(name, ".sst") || (begins(name, "MANIFEST-") && strcmp(name, "MANIFEST-000001") != 0);
}

/* Left by bulks that were under way in a crash; or by RocksDB at every start: its write-ahead log, of which it makes a file though
 * nothing is written to it, and the file of its options, which ends where it can't write down a log level of "nothing". */
static bool is_left_over(DIR *d, const char *name)
{
    struct stat info;
    if (ends(name, ".log"))
        return fstatat(dirfd(d), name, &info, 0) == 0 && info.st_size == 0;
    return begins(name, STORE_BULK_PREFIX) || (begins(name, "OPTIONS-") && ends(name, ".dbtmp"));
}

/* Removes what is left over. Without CURRENT RocksDB would begin anew among the others. */
static int check_files(const char *dir, struct error *e)
{
    bool current = false, others = false;
    DIR *d = opendir(dir);
    if (d == NULL)
        return error_set(e, ERR_IO, "cannot read the store's directory %s: %s", dir, strerror(errno));
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (is_left_over(d, entry->d_name))
            (void)unlinkat(dirfd(d), entry->d_name, 0);
        else if (strcmp(entry->d_name, "CURRENT") == 0)
            current = true;
        else if (is_of_whole_store(entry->d_name))
            others = true;
    }
    closedir(d);
    return others && !current ? store_file_missing(dir, "CURRENT", e) : ERR_OK;
}

static int prepare_dir(const char *dir, struct error *e)
{
    int code = disk_real()->make_dir(disk_real(), dir, e);
    if (code != ERR_OK)
        return code;
    struct stat info;
    if (stat(dir, &info) != 0 || !S_ISDIR(info.st_mode))
        return error_set(e, ERR_IO, "%s is not a directory; the store needs one", dir);
    if (access(dir, R_OK | W_OK | X_OK) != 0)
        return error_set(e, ERR_IO, "cannot write to the store's directory %s: %s", dir, strerror(errno));
    code = check_files(dir, e);
    return code == ERR_OK ? guard_check(dir, e) : code;
}

static int open_database(struct store *s, struct error *e)
{
    char *status = NULL;
    s->db = rocksdb_open_column_families(s->options[STORE_STATE], s->dir, STORE_FAMILIES, FAMILY_NAMES,
                                         (const rocksdb_options_t *const *)s->options, s->families, &status);
    if (status != NULL)
        return store_status(status, s->dir, "opening the store", e);
    return ERR_OK;
}

static int open_parts(struct store *s, const struct store_options *o, struct error *e)
{
    s->cache = rocksdb_cache_create_lru(o->cache_bytes != 0 ? o->cache_bytes : CACHE_BYTES);
    for (unsigned f = 0; f < STORE_FAMILIES; f++) {
        s->options[f] = store_options_create((enum store_family)f, o, s->env, s->cache, e);
        if (s->options[f] == NULL)
            return e != NULL ? (int)e->code : ERR_IO;
    }
    s->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(s->write, 1);
    s->read = rocksdb_readoptions_create();
    return open_database(s, e);
}

int store_open(const struct store_options *options, struct store **out, struct error *e)
{
    ASSERT(options->dir != NULL && (!options->in_memory || options->env != NULL));
    if (!options->in_memory) {
        int code = prepare_dir(options->dir, e);
        if (code != ERR_OK)
            return code;
    }
    struct store *s = memory_zero(1, sizeof *s);
    s->dir = memory_string(options->dir, strlen(options->dir));
    s->in_memory = options->in_memory ? options->env : NULL;
    s->env = options->in_memory ? options->env->memory : rocksdb_create_default_env();
    int code = open_parts(s, options, e);
    if (code == ERR_OK && !options->in_memory)
        code = guard_open(s->dir, &s->guard, e);
    if (code != ERR_OK) {
        store_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    for (unsigned f = 0; f < STORE_FAMILIES; f++)
        if (s->families[f] != NULL)
            rocksdb_column_family_handle_destroy(s->families[f]);
    if (s->db != NULL)
        rocksdb_close(s->db);
    guard_close(s->guard);
    if (s->read != NULL)
        rocksdb_readoptions_destroy(s->read);
    if (s->write != NULL)
        rocksdb_writeoptions_destroy(s->write);
    for (unsigned f = 0; f < STORE_FAMILIES; f++)
        if (s->options[f] != NULL)
            rocksdb_options_destroy(s->options[f]);
    if (s->cache != NULL)
        rocksdb_cache_destroy(s->cache);
    if (s->in_memory == NULL)
        rocksdb_env_destroy(s->env);
    memory_free(s->dir);
    memory_free(s);
}

/* ---------------------------------------------------------------- writing */

int store_write(struct store *s, struct store_batch *b, struct error *e)
{
    static const char what[] = "writing to the store";
    int code = store_room(s, what, e);
    if (code != ERR_OK)
        return code;
    char *status = NULL;
    rocksdb_write(s->db, s->write, store_batch_made(s, b), &status);
    return status == NULL ? ERR_OK : store_failed(s, status, what, e);
}

int store_probe(struct store *s, struct error *e)
{
    struct store_batch *nothing = store_batch_create();
    int code = store_write(s, nothing, e);
    store_batch_destroy(nothing);
    return code;
}

/* Until what was full of the family's memory when the flush began is on disk. */
static int await_flush(const struct store *s, enum store_family f, uint64_t errors, const char *what, struct error *e)
{
    static const struct timespec look = {.tv_nsec = 5000000};
    while (property_of(s, f, "rocksdb.num-immutable-mem-table") > 0) {
        if (background_errors(s) != errors)
            return error_set(e, ERR_STORAGE_FULL, "%s: no space left on the disk of %s", what, s->dir);
        nanosleep(&look, NULL);
    }
    return ERR_OK;
}

int store_settle(struct store *s, struct error *e)
{
    return s->guard != NULL ? guard_note(s->guard, e) : ERR_OK;
}

int store_flush(struct store *s, enum store_family f, struct error *e)
{
    static const char what[] = "flushing the store";
    int code = store_room(s, what, e);
    if (code != ERR_OK)
        return code;
    uint64_t errors = background_errors(s);
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    char *status = NULL;
    rocksdb_flush_cf(s->db, options, s->families[f], &status);
    rocksdb_flushoptions_destroy(options);
    if (status != NULL)
        return store_failed(s, status, what, e);
    code = store_was_full(s) ? await_flush(s, f, errors, what, e) : ERR_OK;
    return code == ERR_OK ? store_settle(s, e) : code;
}

/* RocksDB's range of whole files includes its end, ours does not: the greatest key we may name is one below `to`. */
static void last_below(struct bytes to, struct buffer *out)
{
    buffer_put(out, to.data, to.len - 1);
    uint8_t last = to.data[to.len - 1];
    if (last == 0)
        return;
    buffer_u8(out, (uint8_t)(last - 1));
    for (int i = 0; i < 32; i++)
        buffer_u8(out, 0xff);
}

static int any_left(struct store *s, enum store_family f, struct bytes from, struct bytes to, bool *any,
                    struct error *e)
{
    struct store_iterator *i = store_iterate(s, f, from, to, NULL);
    *any = store_iterator_valid(i);
    int code = store_iterator_error(i, e);
    store_iterator_close(i);
    return code;
}

int store_drop_range(struct store *s, enum store_family f, struct bytes from, struct bytes to, struct error *e)
{
    if (to.len == 0 || bytes_compare(from, to) >= 0)
        return ERR_OK;
    static const char what[] = "dropping files of the store";
    int code = store_room(s, what, e);
    if (code != ERR_OK)
        return code;
    struct buffer end = {0};
    last_below(to, &end);
    char *status = NULL;
    rocksdb_delete_file_in_range_cf(s->db, s->families[f], (const char *)from.data, from.len, (const char *)end.data,
                                    end.len, &status);
    buffer_close(&end);
    if (status != NULL)
        return store_failed(s, status, what, e);
    bool any = false;
    code = any_left(s, f, from, to, &any, e);
    if (code != ERR_OK || !any)
        return code;
    struct store_batch *b = store_batch_create();
    store_delete_range(b, f, from, to);
    code = store_write(s, b, e);
    store_batch_destroy(b);
    return code;
}

/* ---------------------------------------------------------------- reading */

static int get(struct store *s, const rocksdb_readoptions_t *options, enum store_family f, struct bytes key,
               struct buffer *out, struct error *e)
{
    char *status = NULL;
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned_cf(s->db, options, s->families[f], (const char *)key.data, key.len, &status);
    if (status != NULL)
        return store_status(status, s->dir, "reading from the store", e);
    if (found == NULL)
        return ERR_NOT_FOUND;
    size_t len = 0;
    const char *value = rocksdb_pinnableslice_value(found, &len);
    buffer_put(out, value, len);
    rocksdb_pinnableslice_destroy(found);
    return ERR_OK;
}

int store_get(struct store *s, enum store_family f, struct bytes key, struct buffer *out, struct error *e)
{
    return get(s, s->read, f, key, out, e);
}

int store_get_at(struct store *s, enum store_family f, struct bytes key, const struct store_snapshot *snapshot,
                 struct buffer *out, struct error *e)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(options, snapshot->at);
    int code = get(s, options, f, key, out, e);
    rocksdb_readoptions_destroy(options);
    return code;
}

struct store_snapshot *store_snapshot_open(struct store *s)
{
    struct store_snapshot *snapshot = memory_alloc(sizeof *snapshot);
    snapshot->at = rocksdb_create_snapshot(s->db);
    return snapshot;
}

void store_snapshot_close(struct store *s, struct store_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    rocksdb_release_snapshot(s->db, snapshot->at);
    memory_free(snapshot);
}

/* ---------------------------------------------------------------- figures */

static uint64_t property(struct store *s, const char *name)
{
    uint64_t sum = 0;
    for (unsigned f = 0; f < STORE_FAMILIES; f++)
        sum += property_of(s, (enum store_family)f, name);
    return sum;
}

uint64_t store_bytes(struct store *s)
{
    return property(s, "rocksdb.total-sst-files-size");
}

uint64_t store_memory_bytes(struct store *s)
{
    return rocksdb_cache_get_usage(s->cache) + store_unwritten_bytes(s) +
           property(s, "rocksdb.estimate-table-readers-mem");
}

uint64_t store_unwritten_bytes(struct store *s)
{
    return property(s, "rocksdb.size-all-mem-tables");
}
