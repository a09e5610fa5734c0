#include "store/guard.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/hasher.h"
#include "base/memory.h"
#include "store/internal.h"

enum { PLACES = 2, NOTE_BYTES = 48, READ_BYTES = 64 * 1024 };

#define GUARD_FILE "manifest.guard"
#define GUARD_MAGIC UINT64_C(0x3164726167746168) /* "hatgard1" */
#define MANIFEST_FORMAT "MANIFEST-%06" PRIu64

struct note {
    uint64_t turn; /* the greater is the newer; 0: none */
    uint64_t manifest;
    uint64_t len;
    uint64_t hash; /* of the first `len` bytes */
};

/* A manifest that is read from its beginning on, as far as it goes. */
struct reading {
    uint64_t manifest;
    uint64_t len;
    struct hasher *hash;
};

struct guard {
    char *dir;
    struct disk_file *file;
    struct note last;
    struct reading read;
    pthread_mutex_t lock;
};

/* ---------------------------------------------------------------- files */

static int open_in(const char *dir, const char *name, unsigned flags, struct disk_file **out, struct error *e)
{
    char path[DISK_PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return error_set(e, ERR_IO, "the store's directory has a path of more than %d bytes", DISK_PATH_MAX - 64);
    return disk_real()->open(disk_real(), path, flags, out, e);
}

/* Errors: ERR_NOT_FOUND, when there is no CURRENT; ERR_CORRUPT, ERR_IO. */
static int current_manifest(const char *dir, uint64_t *number, struct error *e)
{
    static const char prefix[] = "MANIFEST-";
    struct disk_file *f;
    char text[64] = "";
    size_t len = 0;
    int code = open_in(dir, "CURRENT", 0, &f, e);
    if (code != ERR_OK)
        return code;
    code = disk_real()->read(f, 0, text, sizeof text - 1, &len, e);
    disk_real()->close(f);
    if (code != ERR_OK)
        return code;
    char *end = text;
    if (strncmp(text, prefix, strlen(prefix)) == 0)
        *number = strtoull(text + strlen(prefix), &end, 10);
    return end != text && *end == '\n' ? ERR_OK : store_file_damaged(dir, "CURRENT", "it names no manifest", e);
}

static int open_manifest(const char *dir, uint64_t number, struct disk_file **out, struct error *e)
{
    char name[32];
    snprintf(name, sizeof name, MANIFEST_FORMAT, number);
    int code = open_in(dir, name, 0, out, e);
    return code == ERR_NOT_FOUND ? store_file_missing(dir, name, e) : code;
}

static void reading_begin(struct reading *r, uint64_t manifest)
{
    if (r->hash == NULL)
        r->hash = hasher_create();
    hasher_begin(r->hash);
    r->manifest = manifest;
    r->len = 0;
}

/* Goes on to the end of the file, or to `until`. */
static int reading_go_on(struct reading *r, struct disk_file *f, uint64_t until, struct error *e)
{
    uint8_t part[READ_BYTES];
    size_t got = 1;
    while (got > 0 && r->len < until) {
        uint64_t want = until - r->len < sizeof part ? until - r->len : sizeof part;
        int code = disk_real()->read(f, r->len, part, (size_t)want, &got, e);
        if (code != ERR_OK)
            return code;
        hasher_add(r->hash, bytes_of(part, got));
        r->len += got;
    }
    return ERR_OK;
}

/* ---------------------------------------------------------------- notes */

static void note_put(const struct note *n, uint8_t out[DISK_BLOCK_BYTES])
{
    struct buffer b = {0};
    buffer_u64(&b, GUARD_MAGIC);
    buffer_u64(&b, n->turn);
    buffer_u64(&b, n->manifest);
    buffer_u64(&b, n->len);
    buffer_u64(&b, n->hash);
    buffer_u64(&b, bytes_hash(buffer_view(&b), 0));
    memset(out, 0, DISK_BLOCK_BYTES);
    memcpy(out, b.data, b.len);
    buffer_close(&b);
}

static bool note_take(const uint8_t *from, struct note *out)
{
    struct cursor c = cursor_open(bytes_of(from, NOTE_BYTES));
    uint64_t magic = cursor_u64(&c);
    *out = (struct note){.turn = cursor_u64(&c)};
    out->manifest = cursor_u64(&c);
    out->len = cursor_u64(&c);
    out->hash = cursor_u64(&c);
    return magic == GUARD_MAGIC && cursor_u64(&c) == bytes_hash(bytes_of(from, NOTE_BYTES - 8), 0);
}

static bool blank(const uint8_t *from)
{
    static const uint8_t nothing[DISK_BLOCK_BYTES];
    return memcmp(from, nothing, sizeof nothing) == 0;
}

/* The newest note of the file; its turn is 0 when there is none yet. One that a crash has torn is passed over, but not both. */
static int last_note(const char *dir, struct disk_file *f, struct note *out, struct error *e)
{
    uint8_t at[PLACES * DISK_BLOCK_BYTES] = {0};
    size_t got = 0;
    unsigned torn = 0;
    *out = (struct note){0};
    int code = disk_real()->read(f, 0, at, sizeof at, &got, e);
    if (code != ERR_OK)
        return code;
    for (unsigned i = 0; i < PLACES; i++) {
        struct note n;
        const uint8_t *place = at + (size_t)i * DISK_BLOCK_BYTES;
        if (!note_take(place, &n))
            torn += !blank(place);
        else if (n.turn > out->turn)
            *out = n;
    }
    return torn < PLACES ? ERR_OK : store_file_damaged(dir, GUARD_FILE, "neither of its notes holds", e);
}

/* ---------------------------------------------------------------- checking */

static int compare(const char *dir, const struct note *n, struct error *e)
{
    char name[32], why[160];
    uint64_t number = 0;
    snprintf(name, sizeof name, MANIFEST_FORMAT, n->manifest);
    int code = current_manifest(dir, &number, e);
    if (code == ERR_NOT_FOUND)
        return store_file_missing(dir, "CURRENT", e);
    if (code != ERR_OK || number > n->manifest)
        return code;
    if (number < n->manifest) {
        snprintf(why, sizeof why, "it names manifest %" PRIu64 ", %s was the last", number, name);
        return store_file_damaged(dir, "CURRENT", why, e);
    }
    struct disk_file *f;
    code = open_manifest(dir, number, &f, e);
    if (code != ERR_OK)
        return code;
    struct reading r = {0};
    reading_begin(&r, number);
    code = reading_go_on(&r, f, n->len, e);
    disk_real()->close(f);
    bool short_of = r.len < n->len;
    bool same = !short_of && hasher_value(r.hash) == n->hash;
    hasher_destroy(r.hash);
    if (code != ERR_OK || same)
        return code;
    snprintf(why, sizeof why,
             short_of ? "it ends at byte %" PRIu64 " of %" PRIu64 " that were written"
                      : "of its first %" PRIu64 " bytes some are not as they were written (%" PRIu64 " are known)",
             r.len, n->len);
    return store_file_damaged(dir, name, why, e);
}

int guard_check(const char *dir, struct error *e)
{
    struct disk_file *f;
    struct note last;
    int code = open_in(dir, GUARD_FILE, 0, &f, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code != ERR_OK)
        return code;
    code = last_note(dir, f, &last, e);
    disk_real()->close(f);
    return code == ERR_OK && last.turn > 0 ? compare(dir, &last, e) : code;
}

/* ---------------------------------------------------------------- writing down */

/* RocksDB may begin another manifest meanwhile, and remove the one that CURRENT named. */
static int open_current(const char *dir, uint64_t *number, struct disk_file **out, struct error *e)
{
    uint64_t before = 0;
    int code = current_manifest(dir, number, e);
    while (code == ERR_OK && *number != before) {
        before = *number;
        code = open_manifest(dir, *number, out, e);
        if (code != ERR_CORRUPT)
            return code;
        code = current_manifest(dir, number, e);
    }
    return code == ERR_OK ? ERR_CORRUPT : code; /* `e` says of which */
}

/* All that is in the manifest, synced: what RocksDB is only writing as well, and a power cut would take. */
static int read_manifest(struct guard *g, struct error *e)
{
    struct disk_file *f;
    uint64_t number = 0;
    int code = open_current(g->dir, &number, &f, e);
    if (code != ERR_OK)
        return code;
    if (g->read.hash == NULL || g->read.manifest != number)
        reading_begin(&g->read, number);
    code = reading_go_on(&g->read, f, UINT64_MAX, e);
    if (code == ERR_OK)
        code = disk_real()->sync(f, e);
    disk_real()->close(f);
    return code;
}

static int write_note(struct guard *g, struct error *e)
{
    struct note n = {
        .turn = g->last.turn + 1, .manifest = g->read.manifest, .len = g->read.len, .hash = hasher_value(g->read.hash)};
    if (n.manifest == g->last.manifest && n.len == g->last.len)
        return ERR_OK;
    uint8_t place[DISK_BLOCK_BYTES];
    note_put(&n, place);
    int code = disk_write_bytes(g->file, n.turn % PLACES * DISK_BLOCK_BYTES, place, sizeof place, e);
    if (code == ERR_OK)
        code = disk_real()->sync(g->file, e);
    if (code == ERR_OK)
        g->last = n;
    return code;
}

int guard_note(struct guard *g, struct error *e)
{
    pthread_mutex_lock(&g->lock);
    int code = read_manifest(g, e);
    if (code == ERR_OK)
        code = write_note(g, e);
    pthread_mutex_unlock(&g->lock);
    return code;
}

int guard_open(const char *dir, struct guard **out, struct error *e)
{
    struct guard *g = memory_zero(1, sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    g->dir = memory_string(dir, strlen(dir));
    int code = open_in(dir, GUARD_FILE, DISK_CREATE, &g->file, e);
    if (code == ERR_OK)
        code = disk_real()->allocate(g->file, (uint64_t)PLACES * DISK_BLOCK_BYTES, e);
    if (code == ERR_OK)
        code = disk_real()->sync_dir(disk_real(), dir, e);
    if (code == ERR_OK)
        code = last_note(dir, g->file, &g->last, e);
    if (code == ERR_OK)
        code = guard_note(g, e);
    if (code != ERR_OK) {
        guard_close(g);
        return code;
    }
    *out = g;
    return ERR_OK;
}

void guard_close(struct guard *g)
{
    if (g == NULL)
        return;
    if (g->file != NULL)
        disk_real()->close(g->file);
    hasher_destroy(g->read.hash);
    pthread_mutex_destroy(&g->lock);
    memory_free(g->dir);
    memory_free(g);
}
