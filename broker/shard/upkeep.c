/* The log's window: when the node's log outgrows it, bodies that are still alive in its oldest segment are copied to the store
 * (spilled), and the shard lets go of the log up to there. What a crash would replay must be in the store first (flushed). */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"
#include "state/keys.h"
#include "store/store.h"

/* A round a second has to keep up with what the disk can take; a smaller one is not worth the flush that follows it. */
enum { SPILL_ROUND_BYTES = 1024 * 1024 * 1024, DEAD_RANGES = 16 };

/* Files get smaller as the disk fills up: the log needs what is free for acks, and each file lets some of the log go. */
enum { SPILL_FREE_PART = 4, SPILL_FILE_BYTES_MIN = 64 * 1024 };

struct spill {
    struct work work;
    struct shard *shard;
    struct log *log;
    struct store *store;
    struct machine_spill *list;
    struct message_ref next;
    bool more;
    uint32_t group;
    uint64_t file_bytes;
    uint64_t last;
    uint64_t reached; /* the store has what is alive up to here, also if the round fails behind it */
    uint64_t dead[DEAD_RANGES][2];
    size_t dead_count;
    size_t dropped; /* of the dead ranges */
    int code;
    struct error error;
};

/* The messages of one entry that are still alive. */
struct living {
    uint64_t index;
    struct message_ref *refs;
    size_t count, capacity;
    uint64_t bytes;
};

static void living_add(struct living *l, struct message_ref ref)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? l->capacity * 2 : 64;
        l->refs = memory_grow(l->refs, l->capacity, sizeof *l->refs);
    }
    l->index = ref.index;
    l->refs[l->count++] = ref;
    l->bytes += ref.len;
}

static int put(struct spill *sp, struct store_bulk *bulk, uint64_t index, uint32_t offset, struct bytes value)
{
    struct key key = key_of2((uint16_t)sp->group, KEY_BODY, index, offset);
    return store_bulk_put(bulk, key_view(&key), value, &sp->error);
}

/* An entry of which at least half is alive is kept whole: one write and later one read for all its messages. */
static int spill_entry(struct spill *sp, struct store_bulk *bulk, struct living *l)
{
    struct blob *entry = NULL;
    int rc = log_read(sp->log, sp->group, l->index, &entry, &sp->error);
    if (rc == ERR_OK && l->bytes >= entry->len / 2)
        rc = put(sp, bulk, l->index, BODY_WHOLE_ENTRY, blob_view(entry));
    else
        for (size_t i = 0; i < l->count && rc == ERR_OK; i++) {
            struct message_ref ref = l->refs[i];
            if (ref.offset > entry->len || ref.len > entry->len - ref.offset)
                rc = error_set(&sp->error, ERR_CORRUPT, "a message lies outside of entry %llu",
                               (unsigned long long)ref.index);
            else
                rc = put(sp, bulk, ref.index, ref.offset, bytes_of(entry->data + ref.offset, ref.len));
        }
    blob_unref(entry);
    l->count = 0;
    l->bytes = 0;
    return rc;
}

/* Claims what the next file may have. */
static int claim(struct spill *sp, uint64_t *budget)
{
    int rc = log_claim_space(sp->log, sp->file_bytes, SPILL_FREE_PART, budget, &sp->error);
    if (rc != ERR_OK || *budget >= SPILL_FILE_BYTES_MIN || *budget == sp->file_bytes)
        return rc;
    log_unclaim_space(sp->log, *budget);
    return error_set(&sp->error, ERR_STORAGE_FULL, "what little of the disk is free is left to the log");
}

/* The messages of the next entry that has some. */
static int next_entry(struct spill *sp, struct living *l)
{
    int rc = ERR_OK;
    uint64_t index = sp->next.index;
    while (rc == ERR_OK && sp->more && sp->next.index == index) {
        living_add(l, sp->next);
        rc = machine_spill_next(sp->list, &sp->next, &sp->more, &sp->error);
    }
    return rc;
}

/* One file of bodies; what found no room in it stays in `l`. A first entry may be larger than the budget, if not by much. */
static int spill_file(struct spill *sp, struct living *l, uint64_t budget)
{
    struct store_bulk *bulk = NULL;
    int rc = store_bulk_open(sp->store, STORE_BODIES, &bulk, &sp->error);
    while (rc == ERR_OK && (l->count > 0 || sp->more)) {
        if (l->count == 0)
            rc = next_entry(sp, l);
        uint64_t before = store_bulk_bytes(bulk);
        uint64_t most = 2 * l->bytes; /* an entry that is written whole is half alive at least */
        if (rc == ERR_OK && before > 0 && before + most > budget)
            break;
        if (rc == ERR_OK && before == 0 && most > 2 * budget && budget < sp->file_bytes)
            rc = error_set(&sp->error, ERR_STORAGE_FULL, "an entry of %llu bytes has no room on the disk",
                           (unsigned long long)l->bytes);
        if (rc == ERR_OK)
            rc = spill_entry(sp, bulk, l);
    }
    if (rc == ERR_OK)
        return store_bulk_finish(bulk, &sp->error);
    store_bulk_abandon(bulk);
    return rc;
}

static uint64_t reached(const struct spill *sp, const struct living *l)
{
    if (l->count > 0)
        return l->index - 1;
    return sp->more ? sp->next.index - 1 : sp->last;
}

/* A round on a disk with little space ends with its first file, so that the log lets go of what that has. */
static int spill_all(struct spill *sp)
{
    struct living living = {0};
    bool ample = true;
    int rc = machine_spill_next(sp->list, &sp->next, &sp->more, &sp->error);
    if (rc == ERR_OK)
        sp->reached = reached(sp, &living);
    while (rc == ERR_OK && (living.count > 0 || sp->more) && ample) {
        uint64_t budget = 0;
        rc = claim(sp, &budget);
        if (rc != ERR_OK)
            break;
        rc = spill_file(sp, &living, budget);
        log_unclaim_space(sp->log, budget);
        if (rc == ERR_OK)
            sp->reached = reached(sp, &living);
        ample = budget == sp->file_bytes;
    }
    memory_free(living.refs);
    return rc;
}

static void spill_run(struct work *w)
{
    struct spill *sp = CONTAINER_OF(w, struct spill, work);
    while (sp->dropped < sp->dead_count && sp->code == ERR_OK) {
        const uint64_t *range = sp->dead[sp->dropped];
        struct key from = key_of2((uint16_t)sp->group, KEY_BODY, range[0], 0);
        struct key to = key_of2((uint16_t)sp->group, KEY_BODY, range[1] + 1, 0);
        sp->code = store_drop_range(sp->store, STORE_BODIES, key_view(&from), key_view(&to), &sp->error);
        sp->dropped += sp->code == ERR_OK;
    }
    if (sp->code == ERR_OK && sp->list != NULL)
        sp->code = spill_all(sp);
}

static void compact(struct shard *s)
{
    if (s->stopped)
        return; /* what is left of it is for whoever looks into the reason */
    uint64_t upto = s->spilled < s->durable ? s->spilled : s->durable;
    if (upto > log_durable(s->log))
        upto = log_durable(s->log);
    if (upto >= log_first(s->log))
        log_compact(s->log, upto);
}

static void spill_done(struct work *w)
{
    struct spill *sp = CONTAINER_OF(w, struct spill, work);
    struct shard *s = sp->shard;
    machine_spill_close(sp->list);
    for (size_t i = sp->dropped; i < sp->dead_count; i++)
        machine_dead_again(s->machine, sp->dead[i][0], sp->dead[i][1]);
    s->spilling = false;
    shard_work_done(s);
    if (sp->reached > s->spilled)
        s->spilled = sp->reached; /* what was written before a failure is not written again */
    compact(s);
    if (sp->code == ERR_STORAGE_FULL || sp->code == ERR_IO)
        TRACE(s->options.trace, TRACE_WARN, "spilling failed, will try again", trace_u64("shard", s->options.number),
              trace_text("error", sp->error.message));
    else if (sp->code != ERR_OK)
        shard_stop(s, &sp->error);
    memory_free(sp);
}

void shard_upkeep(struct shard *s)
{
    if (s->stopped || s->closing || s->spilling || shard_join_holds_spill(s))
        return;
    uint64_t want = 0;
    /* On a disk that is nearly full the window is more than there is room for. */
    if (log_above_window(s->options.log) || !log_has_room(s->options.log))
        want = log_oldest_index(s->log, SPILL_ROUND_BYTES);
    if (want > machine_applied(s->machine))
        want = machine_applied(s->machine);
    uint64_t dead[DEAD_RANGES][2];
    size_t dead_count = machine_dead_ranges(s->machine, log_first(s->log), dead, DEAD_RANGES);
    bool spill = want > s->spilled && machine_first_live(s->machine) <= want;
    if (want > s->spilled && !spill)
        s->spilled = want;
    if (!spill && dead_count == 0) {
        compact(s);
        return;
    }
    struct spill *sp = memory_zero(1, sizeof *sp);
    sp->work.run = spill_run;
    sp->work.done = spill_done;
    sp->shard = s;
    sp->log = s->options.log;
    sp->store = s->options.store;
    sp->group = s->options.number;
    sp->file_bytes = s->options.spill_file_bytes;
    memcpy(sp->dead, dead, sizeof dead);
    sp->dead_count = dead_count;
    if (spill) {
        sp->last = want;
        uint64_t first = log_first(s->log) > s->spilled ? log_first(s->log) : s->spilled + 1;
        sp->list = machine_spill_open(s->machine, first, want);
    }
    s->spilling = true;
    shard_work(s, &sp->work);
}

bool shard_wants_flush(const struct shard *s)
{
    return !s->stopped && !s->installing && machine_applied(s->machine) > s->durable &&
           (s->applied_bytes >= s->options.flush_bytes || s->spilled > s->durable);
}

uint64_t shard_flush_mark(struct shard *s)
{
    /* Where there is no space only what was durable before may be relied on; the shard goes on as long as it needs none. */
    struct error e = {0};
    bool written = false;
    if (!s->installing && !s->stopped) {
        int rc = machine_write(s->machine, &e);
        written = rc == ERR_OK;
        if (!written && rc != ERR_STORAGE_FULL)
            shard_stop(s, &e);
    }
    s->marked_bytes = written ? s->applied_bytes : 0;
    return written ? machine_applied(s->machine) : s->durable;
}

void shard_flushed(struct shard *s, uint64_t mark)
{
    ASSERT(mark <= machine_applied(s->machine));
    if (mark > s->durable)
        s->durable = mark;
    s->applied_bytes -= s->marked_bytes;
    s->marked_bytes = 0;
    compact(s);
}
