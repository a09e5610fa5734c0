#include "sim/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/random.h"
#include "sim/sim_inode.h"
#include "sim/sim_names.h"

/* A change of names that is not synced: `inode` gets `to` (NULL: no name), `from` goes (NULL: none does). */
struct change {
    char *from, *to;
    struct sim_inode *inode;
};

struct failure {
    unsigned ops;
    uint64_t after, times;
    bool forever;
    enum error_code code;
};

struct sim_disk {
    struct disk table; /* first: the table's functions find the rest through it */
    struct sim_inode *inodes;
    struct sim_names live, synced;
    struct change *changes;
    size_t changes_n, changes_capacity;
    struct failure failure;
    uint64_t capacity, syncs, operations;
    unsigned life;
};

struct sim_file {
    struct disk_file file;
    struct sim_inode *inode;
    unsigned life;
};

/* ---------------------------------------------------------------- names */

static void names_apply(struct sim_names *n, const struct change *c)
{
    if (c->from != NULL)
        sim_names_drop(n, c->from);
    if (c->to != NULL)
        sim_names_set(n, c->to, c->inode);
}

static void change_close(struct change *c)
{
    memory_free(c->from);
    memory_free(c->to);
}

static char *copy_path(const char *path)
{
    return path == NULL ? NULL : memory_string(path, strlen(path));
}

static void change_names(struct sim_disk *s, const char *from, const char *to, struct sim_inode *inode)
{
    if (s->changes_n == s->changes_capacity) {
        s->changes_capacity = s->changes_capacity * 2 + 8;
        s->changes = memory_grow(s->changes, s->changes_capacity, sizeof *s->changes);
    }
    struct change *c = &s->changes[s->changes_n++];
    *c = (struct change){copy_path(from), copy_path(to), inode};
    names_apply(&s->live, c);
}

static void reach(const struct sim_names *n)
{
    for (size_t i = 0; i < n->n; i++)
        n->at[i].inode->reached = true;
}

/* Frees the inodes nothing leads to. */
static void sweep(struct sim_disk *s)
{
    for (struct sim_inode *i = s->inodes; i != NULL; i = i->next)
        i->reached = i->open > 0;
    reach(&s->live);
    reach(&s->synced);
    for (size_t i = 0; i < s->changes_n; i++) {
        if (s->changes[i].inode != NULL)
            s->changes[i].inode->reached = true;
    }
    for (struct sim_inode **at = &s->inodes; *at != NULL;) {
        struct sim_inode *i = *at;
        if (i->reached) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        sim_inode_destroy(i);
    }
}

/* ---------------------------------------------------------------- failures */

static struct sim_disk *sim_of(struct disk *d)
{
    return (struct sim_disk *)d;
}

/* Whether this operation is to fail, and how. */
static enum error_code failing(struct sim_disk *s, enum sim_disk_op op)
{
    if (op & SIM_DISK_CHANGE)
        s->operations++;
    struct failure *f = &s->failure;
    if ((f->ops & op) == 0)
        return ERR_OK;
    if (f->after > 0) {
        f->after--;
        return ERR_OK;
    }
    enum error_code code = f->code;
    if (!f->forever && --f->times == 0)
        *f = (struct failure){0};
    return code;
}

static int refuse(struct error *e, enum error_code code, const char *action, const char *path)
{
    return error_set(e, code, "%s %s: %s (ordered)", action, path, error_code_name((int)code));
}

static uint64_t used(const struct sim_disk *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->live.n; i++)
        sum += s->live.at[i].inode->live.len;
    return sum;
}

static bool fits(const struct sim_disk *s, const struct sim_inode *i, uint64_t len)
{
    return s->capacity == 0 || len <= i->live.len || used(s) + (len - i->live.len) <= s->capacity;
}

/* ---------------------------------------------------------------- the table */

static struct sim_inode *inode_of(struct disk_file *f)
{
    struct sim_file *file = (struct sim_file *)f;
    ASSERT(file->life == sim_of(f->disk)->life); /* opened before a crash: dead */
    return file->inode;
}

static int sim_make_dir(struct disk *d, const char *path, struct error *e)
{
    enum error_code code = failing(sim_of(d), SIM_DISK_OTHER);
    return code == ERR_OK ? ERR_OK : refuse(e, code, "make directory", path);
}

static int sim_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out, struct error *e)
{
    struct sim_disk *s = sim_of(d);
    struct sim_inode *i = sim_names_get(&s->live, path);
    if (i == NULL && (flags & DISK_CREATE) == 0)
        return refuse(e, ERR_NOT_FOUND, "open", path);
    if (i != NULL && (flags & DISK_EXCLUSIVE))
        return refuse(e, ERR_EXISTS, "open", path);
    if (i == NULL) {
        enum error_code code = failing(s, SIM_DISK_OTHER);
        if (code != ERR_OK)
            return refuse(e, code, "create", path);
        i = sim_inode_create(&s->inodes);
        change_names(s, NULL, path, i);
    }
    struct sim_file *f = memory_zero(1, sizeof *f);
    f->file.disk = d;
    f->file.path = memory_string(path, strlen(path));
    f->inode = i;
    f->life = s->life;
    i->open++;
    *out = &f->file;
    return ERR_OK;
}

static void sim_close(struct disk_file *file)
{
    struct sim_file *f = (struct sim_file *)file;
    struct sim_disk *s = sim_of(file->disk);
    ASSERT(f->inode->open > 0);
    f->inode->open--;
    if (f->life == s->life && f->inode->open == 0)
        f->inode->locked = false;
    memory_free(file->path);
    memory_free(f);
    sweep(s);
}

static int sim_size(struct disk_file *f, uint64_t *out, struct error *e)
{
    (void)e;
    *out = inode_of(f)->live.len;
    return ERR_OK;
}

static void put(struct sim_inode *i, uint64_t offset, const uint8_t *from, uint64_t len)
{
    if (len == 0)
        return;
    if (offset + len > i->live.len)
        sim_image_resize(&i->live, offset + len);
    memcpy(i->live.bytes + offset, from, len);
    for (uint64_t b = offset / DISK_BLOCK_BYTES; b <= (offset + len - 1) / DISK_BLOCK_BYTES; b++)
        sim_inode_remember(i, b);
}

static int sim_write(struct disk_file *f, uint64_t offset, const struct iovec *parts, size_t n, struct error *e)
{
    struct sim_disk *s = sim_of(f->disk);
    struct sim_inode *i = inode_of(f);
    uint64_t total = 0;
    for (size_t p = 0; p < n; p++)
        total += parts[p].iov_len;
    enum error_code code = failing(s, SIM_DISK_WRITE);
    uint64_t allowed = code == ERR_OK ? total : total / 2;
    if (!fits(s, i, offset + allowed)) {
        code = ERR_STORAGE_FULL;
        allowed = offset < i->live.len ? i->live.len - offset : 0;
    }
    for (size_t p = 0; p < n && allowed > 0; p++) {
        uint64_t len = parts[p].iov_len < allowed ? parts[p].iov_len : allowed;
        put(i, offset, parts[p].iov_base, len);
        offset += len;
        allowed -= len;
    }
    return code == ERR_OK ? ERR_OK : refuse(e, code, "write", f->path);
}

static int sim_read(struct disk_file *f, uint64_t offset, void *to, size_t len, size_t *got, struct error *e)
{
    const struct sim_inode *i = inode_of(f);
    enum error_code code = failing(sim_of(f->disk), SIM_DISK_READ);
    *got = 0;
    if (code != ERR_OK)
        return refuse(e, code, "read", f->path);
    if (offset >= i->live.len)
        return ERR_OK;
    *got = i->live.len - offset < len ? (size_t)(i->live.len - offset) : len;
    if (*got > 0)
        memcpy(to, i->live.bytes + offset, *got);
    return ERR_OK;
}

static int sim_sync(struct disk_file *f, struct error *e)
{
    struct sim_disk *s = sim_of(f->disk);
    enum error_code code = failing(s, SIM_DISK_SYNC);
    if (code != ERR_OK)
        return refuse(e, code, "sync", f->path);
    sim_inode_sync(inode_of(f));
    s->syncs++;
    return ERR_OK;
}

static int sim_allocate(struct disk_file *f, uint64_t bytes, struct error *e)
{
    struct sim_disk *s = sim_of(f->disk);
    struct sim_inode *i = inode_of(f);
    enum error_code code = failing(s, SIM_DISK_OTHER);
    if (code == ERR_OK && !fits(s, i, bytes))
        code = ERR_STORAGE_FULL;
    if (code != ERR_OK)
        return refuse(e, code, "allocate", f->path);
    if (bytes > i->live.len)
        sim_image_resize(&i->live, bytes);
    return ERR_OK;
}

static int sim_truncate(struct disk_file *f, uint64_t bytes, struct error *e)
{
    struct sim_inode *i = inode_of(f);
    enum error_code code = failing(sim_of(f->disk), SIM_DISK_OTHER);
    if (code != ERR_OK)
        return refuse(e, code, "truncate", f->path);
    sim_image_resize(&i->live, bytes);
    return ERR_OK;
}

static int sim_unlink(struct disk *d, const char *path, struct error *e)
{
    struct sim_disk *s = sim_of(d);
    enum error_code code = failing(s, SIM_DISK_OTHER);
    if (code == ERR_OK && sim_names_get(&s->live, path) == NULL)
        code = ERR_NOT_FOUND;
    if (code != ERR_OK)
        return refuse(e, code, "remove", path);
    change_names(s, path, NULL, NULL);
    return ERR_OK;
}

static int sim_rename(struct disk *d, const char *from, const char *to, struct error *e)
{
    struct sim_disk *s = sim_of(d);
    enum error_code code = failing(s, SIM_DISK_OTHER);
    struct sim_inode *i = sim_names_get(&s->live, from);
    if (code == ERR_OK && i == NULL)
        code = ERR_NOT_FOUND;
    if (code != ERR_OK)
        return refuse(e, code, "rename", from);
    change_names(s, from, to, i);
    return ERR_OK;
}

static bool within(const char *dir, const char *path)
{
    size_t len = strlen(dir);
    return path != NULL && strncmp(path, dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

static int sim_sync_dir(struct disk *d, const char *path, struct error *e)
{
    struct sim_disk *s = sim_of(d);
    enum error_code code = failing(s, SIM_DISK_OTHER);
    if (code != ERR_OK)
        return refuse(e, code, "sync directory", path);
    size_t kept = 0;
    for (size_t i = 0; i < s->changes_n; i++) {
        struct change *c = &s->changes[i];
        if (within(path, c->to) || within(path, c->from)) {
            names_apply(&s->synced, c);
            change_close(c);
        } else {
            s->changes[kept++] = *c;
        }
    }
    s->changes_n = kept;
    return ERR_OK;
}

static int sim_space(struct disk *d, const char *path, uint64_t *free_bytes, struct error *e)
{
    (void)path;
    (void)e;
    const struct sim_disk *s = sim_of(d);
    uint64_t taken = used(s);
    *free_bytes = s->capacity == 0 ? UINT64_MAX : s->capacity > taken ? s->capacity - taken : 0;
    return ERR_OK;
}

static int sim_list(struct disk *d, const char *path, void (*each)(void *ctx, const char *name), void *ctx,
                    struct error *e)
{
    struct sim_disk *s = sim_of(d);
    enum error_code code = failing(s, SIM_DISK_READ);
    if (code != ERR_OK)
        return refuse(e, code, "list", path);
    for (size_t i = 0; i < s->live.n; i++) {
        if (within(path, s->live.at[i].path))
            each(ctx, s->live.at[i].path + strlen(path) + 1);
    }
    return ERR_OK;
}

static int sim_lock(struct disk *d, const char *path, struct disk_file **out, struct error *e)
{
    int code = sim_open(d, path, DISK_CREATE, out, e);
    if (code != ERR_OK)
        return code;
    struct sim_inode *i = inode_of(*out);
    if (i->locked) {
        sim_close(*out);
        *out = NULL;
        return refuse(e, ERR_EXISTS, "lock", path);
    }
    i->locked = true;
    return ERR_OK;
}

/* ---------------------------------------------------------------- the test's side */

struct sim_disk *sim_disk_create(uint64_t capacity_bytes)
{
    struct sim_disk *s = memory_zero(1, sizeof *s);
    s->capacity = capacity_bytes;
    s->table = (struct disk){
        .make_dir = sim_make_dir,
        .open = sim_open,
        .close = sim_close,
        .size = sim_size,
        .write = sim_write,
        .read = sim_read,
        .sync = sim_sync,
        .allocate = sim_allocate,
        .truncate = sim_truncate,
        .unlink = sim_unlink,
        .rename = sim_rename,
        .sync_dir = sim_sync_dir,
        .space = sim_space,
        .list = sim_list,
        .lock = sim_lock,
    };
    return s;
}

void sim_disk_destroy(struct sim_disk *s)
{
    if (s == NULL)
        return;
    sim_names_clear(&s->live);
    sim_names_clear(&s->synced);
    memory_free(s->live.at);
    memory_free(s->synced.at);
    for (size_t i = 0; i < s->changes_n; i++)
        change_close(&s->changes[i]);
    memory_free(s->changes);
    while (s->inodes != NULL) {
        struct sim_inode *i = s->inodes;
        ASSERT(i->open == 0);
        s->inodes = i->next;
        sim_inode_destroy(i);
    }
    memory_free(s);
}

struct disk *sim_disk_table(struct sim_disk *s)
{
    return &s->table;
}

static void new_life(struct sim_disk *s)
{
    s->life++;
    s->failure = (struct failure){0};
    for (struct sim_inode *i = s->inodes; i != NULL; i = i->next)
        i->locked = false;
}

void sim_disk_crash(struct sim_disk *s, uint64_t seed)
{
    struct random r;
    random_open(&r, seed);
    size_t keep = random_below(&r, s->changes_n + 1);
    for (size_t i = 0; i < s->changes_n; i++) {
        if (i < keep)
            names_apply(&s->synced, &s->changes[i]);
        change_close(&s->changes[i]);
    }
    s->changes_n = 0;
    sim_names_assign(&s->live, &s->synced);
    /* In the order of names, which unlike that of inodes follows from the calls alone. */
    for (size_t i = 0; i < s->live.n; i++)
        sim_inode_crash(s->live.at[i].inode, &r);
    new_life(s);
    sweep(s);
}

void sim_disk_kill(struct sim_disk *s)
{
    new_life(s);
}

void sim_disk_fail(struct sim_disk *s, unsigned ops, uint64_t after, uint64_t times, enum error_code code)
{
    s->failure = (struct failure){ops, after, times, times == 0, code};
}

void sim_disk_heal(struct sim_disk *s)
{
    s->failure = (struct failure){0};
}

void sim_disk_capacity(struct sim_disk *s, uint64_t capacity_bytes)
{
    s->capacity = capacity_bytes;
}

uint64_t sim_disk_used(const struct sim_disk *s)
{
    return used(s);
}

uint64_t sim_disk_syncs(const struct sim_disk *s)
{
    return s->syncs;
}

uint64_t sim_disk_changes(const struct sim_disk *s)
{
    return s->operations;
}

static struct sim_inode *must_find(const struct sim_disk *s, const char *path)
{
    struct sim_inode *i = sim_names_get(&s->live, path);
    ASSERT(i != NULL);
    return i;
}

bool sim_disk_exists(const struct sim_disk *s, const char *path)
{
    return sim_names_get(&s->live, path) != NULL;
}

uint64_t sim_disk_size(const struct sim_disk *s, const char *path)
{
    return must_find(s, path)->live.len;
}

void sim_disk_peek(const struct sim_disk *s, const char *path, uint64_t offset, void *to, size_t len)
{
    const struct sim_inode *i = must_find(s, path);
    ASSERT(offset + len <= i->live.len);
    memcpy(to, i->live.bytes + offset, len);
}

void sim_disk_poke(struct sim_disk *s, const char *path, uint64_t offset, const void *from, size_t len)
{
    struct sim_inode *i = must_find(s, path);
    ASSERT(offset + len <= i->live.len);
    put(i, offset, from, len);
    sim_inode_sync(i);
}

void sim_disk_flip(struct sim_disk *s, const char *path, uint64_t offset, uint8_t bits)
{
    uint8_t byte;
    sim_disk_peek(s, path, offset, &byte, 1);
    byte ^= bits;
    sim_disk_poke(s, path, offset, &byte, 1);
}

void sim_disk_cut(struct sim_disk *s, const char *path, uint64_t bytes)
{
    struct sim_inode *i = must_find(s, path);
    ASSERT(bytes <= i->live.len);
    sim_image_resize(&i->live, bytes);
    sim_inode_sync(i);
}

void sim_disk_remove(struct sim_disk *s, const char *path)
{
    sim_names_drop(&s->live, path);
    sim_names_drop(&s->synced, path);
    sweep(s);
}

void sim_disk_each(const struct sim_disk *s, void (*each)(void *ctx, const char *path), void *ctx)
{
    for (size_t i = 0; i < s->live.n; i++)
        each(ctx, s->live.at[i].path);
}

struct sim_disk *sim_disk_copy(const struct sim_disk *s)
{
    struct sim_disk *copy = sim_disk_create(s->capacity);
    for (size_t i = 0; i < s->live.n; i++) {
        struct sim_inode *to = sim_inode_create(&copy->inodes);
        sim_image_assign(&to->live, &s->live.at[i].inode->live);
        sim_image_assign(&to->synced, &to->live);
        sim_names_set(&copy->live, s->live.at[i].path, to);
        sim_names_set(&copy->synced, s->live.at[i].path, to);
    }
    return copy;
}
