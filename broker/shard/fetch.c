/* Bodies: from the entries in memory, else on another thread from the log, else from the store (spilled). */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"
#include "state/keys.h"
#include "store/store.h"

struct cold {
    struct work work;
    struct shard *shard;
    struct fetch *fetch;
    struct log *log;
    struct store *store;
    uint32_t group;
    size_t count;
    int code;
    struct error error;
    struct {
        size_t message; /* of the fetch */
        struct message_ref ref;
        struct blob *blob; /* the entry, or the spilled message alone */
        bool alone;
    } items[];
};

static int point_into(struct delivered *d, struct blob *entry, struct error *e)
{
    if (d->is.ref.offset > entry->len || d->is.ref.len > entry->len - d->is.ref.offset)
        return error_set(e, ERR_CORRUPT, "a message lies outside of entry %llu", (unsigned long long)d->is.ref.index);
    d->owner = blob_ref(entry);
    d->message = bytes_of(entry->data + d->is.ref.offset, d->is.ref.len);
    return ERR_OK;
}

static void finish(struct fetch *f, int code, const struct error *e)
{
    struct delivered *messages = f->messages;
    size_t count = f->count;
    struct blob **owners = memory_alloc((count > 0 ? count : 1) * sizeof *owners);
    size_t owned = 0;
    for (size_t i = 0; i < count; i++)
        if (messages[i].owner != NULL)
            owners[owned++] = messages[i].owner;
    f->done(f, code, e);
    for (size_t i = 0; i < owned; i++)
        blob_unref(owners[i]);
    memory_free(owners);
}

static int read_spilled(struct cold *c, size_t i)
{
    struct buffer value = {0};
    struct message_ref ref = c->items[i].ref;
    struct key key = key_of2((uint16_t)c->group, KEY_BODY, ref.index, ref.offset);
    int rc = store_get(c->store, STORE_BODIES, key_view(&key), &value, &c->error);
    if (rc == ERR_OK && value.len != ref.len)
        rc = error_set(&c->error, ERR_CORRUPT, "the spilled message %llu+%u has the wrong length",
                       (unsigned long long)ref.index, ref.offset);
    if (rc == ERR_NOT_FOUND)
        rc = error_set(&c->error, ERR_CORRUPT,
                       "message %llu+%u is neither in the log nor in the store: restore this node from a backup",
                       (unsigned long long)ref.index, ref.offset);
    if (rc != ERR_OK) {
        buffer_close(&value);
        return rc;
    }
    c->items[i].blob = blob_adopt(&value);
    c->items[i].alone = true;
    return ERR_OK;
}

static void cold_run(struct work *w)
{
    struct cold *c = CONTAINER_OF(w, struct cold, work);
    for (size_t i = 0; i < c->count && c->code == ERR_OK; i++) {
        if (i > 0 && c->items[i - 1].ref.index == c->items[i].ref.index && !c->items[i - 1].alone) {
            c->items[i].blob = blob_ref(c->items[i - 1].blob);
            continue;
        }
        c->code = log_read(c->log, c->group, c->items[i].ref.index, &c->items[i].blob, &c->error);
        if (c->code == ERR_NOT_FOUND)
            c->code = read_spilled(c, i);
    }
}

static void cold_done(struct work *w)
{
    struct cold *c = CONTAINER_OF(w, struct cold, work);
    struct fetch *f = c->fetch;
    for (size_t i = 0; i < c->count; i++) {
        struct delivered *d = &f->messages[c->items[i].message];
        if (c->code == ERR_OK && c->items[i].alone) {
            d->owner = c->items[i].blob;
            d->message = blob_view(d->owner);
            continue;
        }
        if (c->code == ERR_OK)
            c->code = point_into(d, c->items[i].blob, &c->error);
        if (c->items[i].blob != NULL && c->code == ERR_OK)
            bodies_put(&c->shard->bodies, c->items[i].ref.index, c->items[i].blob);
        blob_unref(c->items[i].blob);
    }
    struct shard *s = c->shard;
    finish(f, c->code, &c->error);
    memory_free(c);
    shard_work_done(s);
}

void shard_fetch(struct shard *s, struct fetch *f)
{
    struct error e = {0};
    size_t missing = 0;
    int rc = ERR_OK;
    for (size_t i = 0; i < f->count && rc == ERR_OK; i++) {
        struct blob *entry = bodies_find(&s->bodies, f->messages[i].is.ref.index);
        f->messages[i].owner = NULL;
        if (entry == NULL)
            missing++;
        else
            rc = point_into(&f->messages[i], entry, &e);
    }
    if (missing == 0 || rc != ERR_OK) {
        finish(f, rc, &e);
        return;
    }
    struct cold *c = memory_zero(1, sizeof *c + missing * sizeof c->items[0]);
    c->work.run = cold_run;
    c->work.done = cold_done;
    c->shard = s;
    c->fetch = f;
    c->log = s->options.log;
    c->store = s->options.store;
    c->group = s->options.number;
    for (size_t i = 0; i < f->count; i++) {
        if (f->messages[i].owner != NULL)
            continue;
        c->items[c->count].message = i;
        c->items[c->count].ref = f->messages[i].is.ref;
        c->count++;
    }
    shard_work(s, &c->work);
}
