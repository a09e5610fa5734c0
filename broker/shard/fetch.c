/* Bodies: from the entries in memory, else on another thread from the log, else from the store (spilled).
 *
 * An entry is read once however many fetches want it at the time: receives of a deep queue take neighbours from the
 * same entry. The one that a queue's next receives will want is read while these are on their way.
 *
 *   fetch --wants--> reading (an entry) --log, or spilled whole--> all its fetches get it
 *                                       --spilled in parts--> each fetch reads its own messages from the store
 *
 * A message is a view into its entry, which it holds. The one case in which that costs too much is a fetch that takes little of
 * each of many entries and waits for more of them: it holds copies instead (shard_keep). */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"
#include "state/keys.h"
#include "store/store.h"

/* An entry on its way from the log. */
struct reading {
    struct work work;
    struct shard *shard;
    struct log *log;
    uint64_t index;
    struct list waiting; /* struct want */
    struct blob *entry;
    int code;
    struct error error;
};

struct want {
    struct list_link link;
    struct fetch *fetch;
};

/* Messages of one fetch and one entry on their way from the store. */
struct spilled {
    struct work work;
    struct shard *shard;
    struct store *store;
    struct fetch *fetch;
    size_t count;
    int code;
    struct error error;
    struct {
        size_t message; /* of the fetch */
        struct message_ref ref;
        struct blob *body;
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

/* Messages next to each other that share their owner become views into a copy of their own. */
static void copy_run(struct delivered *run, size_t count, size_t bytes)
{
    struct blob *own = blob_create(bytes);
    uint8_t *at = own->data;
    for (size_t i = 0; i < count; i++) {
        struct bytes from = run[i].message;
        memcpy(at, from.data, from.len);
        run[i].message = bytes_of(at, from.len);
        at += from.len;
        blob_unref(run[i].owner);
        run[i].owner = i == 0 ? own : blob_ref(own);
    }
}

void shard_keep(struct delivered *messages, size_t count)
{
    for (size_t i = 0, run; i < count; i += run) {
        const struct blob *owner = messages[i].owner;
        size_t bytes = 0;
        for (run = 0; i + run < count && messages[i + run].owner == owner; run++)
            bytes += messages[i + run].message.len;
        if (owner != NULL && bytes < owner->len / SHARD_KEPT_FACTOR)
            copy_run(messages + i, run, bytes);
    }
}

/* To be called where a fetch may have to wait for others of its entries. */
static void keep_while_waiting(struct fetch *f)
{
    if (f->missing > 1)
        shard_keep(f->messages, f->count);
}

static void finish(struct fetch *f)
{
    /* `done` may free the messages: their owners are taken first. */
    size_t count = f->count;
    struct blob *few[64];
    struct blob **owners = count <= 64 ? few : memory_alloc(count * sizeof *owners);
    for (size_t i = 0; i < count; i++)
        owners[i] = f->messages[i].owner;
    f->done(f, f->code, &f->error);
    for (size_t i = 0; i < count; i++)
        blob_unref(owners[i]);
    if (owners != few)
        memory_free(owners);
}

/* One entry less to wait for. */
static void settle(struct fetch *f, int code, const struct error *e)
{
    if (code != ERR_OK && (f->code == ERR_OK || f->code == ERR_NOT_FOUND)) { /* what is damaged matters more */
        f->code = code;
        f->error = *e;
    }
    ASSERT(f->missing > 0);
    if (--f->missing == 0)
        finish(f);
}

/* ---------------------------------------------------------------- from the store */

static int read_body(struct spilled *sp, size_t i, struct error *e)
{
    struct buffer value = {0};
    struct message_ref ref = sp->items[i].ref;
    struct key key = key_of2(sp->shard->options.number, KEY_BODY, ref.index, ref.offset);
    int code = store_get(sp->store, STORE_BODIES, key_view(&key), &value, e);
    if (code == ERR_NOT_FOUND)
        error_set(e, ERR_NOT_FOUND,
                  "message %llu+%u is neither in the log nor in the store: restore this node from a backup",
                  (unsigned long long)ref.index, ref.offset);
    if (code == ERR_OK && value.len != ref.len)
        code = error_set(e, ERR_CORRUPT, "the spilled message %llu+%u has the wrong length",
                         (unsigned long long)ref.index, ref.offset);
    if (code == ERR_OK)
        sp->items[i].body = blob_adopt(&value);
    else
        buffer_close(&value);
    return code;
}

/* One that is not there does not keep the others from being read. */
static void spilled_run(struct work *w)
{
    struct spilled *sp = CONTAINER_OF(w, struct spilled, work);
    for (size_t i = 0; i < sp->count && (sp->code == ERR_OK || sp->code == ERR_NOT_FOUND); i++) {
        struct error e = {0};
        int code = read_body(sp, i, &e);
        if (code == ERR_OK)
            continue;
        sp->code = code;
        sp->error = e;
    }
}

static void spilled_done(struct work *w)
{
    struct spilled *sp = CONTAINER_OF(w, struct spilled, work);
    struct shard *s = sp->shard;
    for (size_t i = 0; i < sp->count; i++) {
        struct delivered *d = &sp->fetch->messages[sp->items[i].message];
        d->owner = sp->items[i].body;
        if (d->owner != NULL)
            d->message = blob_view(d->owner);
    }
    settle(sp->fetch, sp->code, &sp->error);
    memory_free(sp);
    shard_work_done(s);
}

static void read_spilled(struct shard *s, struct fetch *f, uint64_t index)
{
    struct spilled *sp = memory_zero(1, sizeof *sp + f->count * sizeof sp->items[0]);
    sp->work.run = spilled_run;
    sp->work.done = spilled_done;
    sp->shard = s;
    sp->store = s->options.store;
    sp->fetch = f;
    for (size_t i = 0; i < f->count; i++) {
        if (f->messages[i].is.ref.index != index)
            continue;
        sp->items[sp->count].message = i;
        sp->items[sp->count++].ref = f->messages[i].is.ref;
    }
    shard_work(s, &sp->work);
}

/* ---------------------------------------------------------------- an entry */

static int read_whole(struct reading *r)
{
    struct buffer value = {0};
    struct key key = key_of2(r->shard->options.number, KEY_BODY, r->index, BODY_WHOLE_ENTRY);
    int code = store_get(r->shard->options.store, STORE_BODIES, key_view(&key), &value, &r->error);
    if (code == ERR_OK)
        r->entry = blob_adopt(&value);
    else
        buffer_close(&value);
    return code;
}

static void reading_run(struct work *w)
{
    struct reading *r = CONTAINER_OF(w, struct reading, work);
    r->code = log_read(r->log, r->shard->options.number, r->index, &r->entry, &r->error);
    if (r->code == ERR_NOT_FOUND)
        r->code = read_whole(r);
}

static void hand_over(struct reading *r, struct fetch *f)
{
    struct error e = r->error;
    int code = r->code;
    for (size_t i = 0; i < f->count && code == ERR_OK; i++)
        if (f->messages[i].is.ref.index == r->index)
            code = point_into(&f->messages[i], r->entry, &e);
    keep_while_waiting(f);
    settle(f, code, &e);
}

static void reading_done(struct work *w)
{
    struct reading *r = CONTAINER_OF(w, struct reading, work);
    struct shard *s = r->shard;
    idmap_remove(&s->readings, r->index);
    if (r->code == ERR_OK)
        bodies_put(&s->bodies, r->index, r->entry);
    while (!list_empty(&r->waiting)) {
        struct want *want = CONTAINER_OF(list_first(&r->waiting), struct want, link);
        list_remove(&r->waiting, &want->link);
        struct fetch *f = want->fetch;
        memory_free(want);
        if (r->code == ERR_NOT_FOUND)
            read_spilled(s, f, r->index);
        else
            hand_over(r, f);
    }
    blob_unref(r->entry);
    memory_free(r);
    shard_work_done(s);
}

static struct reading *start_reading(struct shard *s, uint64_t index)
{
    struct reading *r = memory_zero(1, sizeof *r);
    r->work.run = reading_run;
    r->work.done = reading_done;
    r->shard = s;
    r->log = s->options.log;
    r->index = index;
    list_init(&r->waiting);
    idmap_put(&s->readings, index, r);
    shard_work(s, &r->work);
    return r;
}

static void want_entry(struct shard *s, struct fetch *f, uint64_t index)
{
    struct reading *r = idmap_find(&s->readings, index);
    if (r == NULL)
        r = start_reading(s, index);
    struct want *want = memory_zero(1, sizeof *want);
    want->fetch = f;
    list_append(&r->waiting, &want->link);
    f->missing++;
}

void shard_read_ahead(struct shard *s, const struct message_ref *next)
{
    uint64_t index = next->index;
    if (index == s->ahead || idmap_count(&s->readings) >= SHARD_READINGS_AHEAD_MAX ||
        !bodies_fits(&s->bodies, (uint64_t)next->offset + next->len) || bodies_find(&s->bodies, index) != NULL ||
        idmap_find(&s->readings, index) != NULL)
        return;
    s->ahead = index;
    start_reading(s, index);
}

static bool wanted_before(const struct fetch *f, size_t i)
{
    uint64_t index = f->messages[i].is.ref.index;
    for (size_t k = i; k > 0; k--) /* neighbours mostly share their entry */
        if (f->messages[k - 1].is.ref.index == index)
            return true;
    return false;
}

void shard_fetch(struct shard *s, struct fetch *f)
{
    f->code = ERR_OK;
    f->error = (struct error){0};
    f->missing = 1; /* until all are looked at */
    for (size_t i = 0; i < f->count && f->code == ERR_OK; i++) {
        struct delivered *d = &f->messages[i];
        d->owner = NULL;
        struct blob *entry = bodies_find(&s->bodies, d->is.ref.index);
        if (entry != NULL)
            f->code = point_into(d, entry, &f->error);
        else if (!wanted_before(f, i))
            want_entry(s, f, d->is.ref.index);
    }
    keep_while_waiting(f);
    settle(f, ERR_OK, NULL);
}
