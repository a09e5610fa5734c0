/* Raft and the log: what raft wants written goes to the log, what the log has on disk goes back to raft, what raft holds
 * committed goes to the machine. The order is that of consensus/raft.h. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"

enum { READ_CHUNK = 64 };

static enum raft_storage_result read_entries(void *ctx, uint64_t low, uint64_t high, uint64_t max_bytes,
                                             struct raft_entries *to)
{
    struct shard *s = ctx;
    if (low < log_first(s->log))
        return RAFT_STORAGE_COMPACTED;
    uint64_t bytes = 0;
    while (low < high) {
        struct log_entry entries[READ_CHUNK];
        size_t n = 0;
        struct error e = {0};
        size_t max = high - low < READ_CHUNK ? (size_t)(high - low) : READ_CHUNK;
        int rc = log_entries(s->log, low, high, max_bytes > bytes ? max_bytes - bytes : 1, false, entries, max, &n, &e);
        if (rc != ERR_OK) {
            shard_stop(s, &e);
            return RAFT_STORAGE_FAILED;
        }
        for (size_t i = 0; i < n; i++) {
            const struct log_entry *from = &entries[i];
            bytes += from->data.len;
            if (bytes <= max_bytes || low == from->index) {
                struct raft_entry entry = {.index = from->index,
                                           .term = from->term,
                                           .kind = from->kind,
                                           .data = from->data.data,
                                           .len = from->data.len,
                                           .owner = from->owner};
                raft_entries_add(to, &entry);
            }
            blob_unref(from->owner);
        }
        if (n < max || bytes >= max_bytes)
            break;
        low += n;
    }
    return RAFT_STORAGE_OK;
}

static uint64_t read_term(void *ctx, uint64_t index)
{
    struct shard *s = ctx;
    uint64_t term = 0;
    return log_term(s->log, index, &term) == ERR_OK ? term : 0;
}

static uint64_t first_index(void *ctx)
{
    return log_first(((struct shard *)ctx)->log);
}

static uint64_t last_index(void *ctx)
{
    return log_last(((struct shard *)ctx)->log);
}

static const struct raft_storage storage = {
    .entries = read_entries,
    .term = read_term,
    .first_index = first_index,
    .last_index = last_index,
    .snapshot = shard_offer_snapshot,
};

/* ---------------------------------------------------------------- writing */

/* While a snapshot is being installed raft must not go on: it would have entries applied to a state that is not there yet. */
static void persisted(struct shard *s, uint64_t number)
{
    if (s->installing) {
        s->persisted_meanwhile = number;
        return;
    }
    raft_persisted(s->raft, number);
    shard_link_release(s, number);
}

void shard_installed(struct shard *s)
{
    persisted(s, s->persisted_meanwhile);
    raft_applied(s->raft, machine_applied(s->machine));
    shard_drain(s);
    shard_ask_turn(s);
}

static void on_written(struct log_write *write, int code)
{
    struct shard_write *w = write->ctx;
    struct shard *s = w->shard;
    list_remove(&s->writes, &w->link);
    if (code == ERR_STORAGE_FULL) {
        list_append(&s->unwritten, &w->link);
        return;
    }
    uint64_t number = w->number;
    bool resets = w->resets;
    memory_free(w);
    if (s->stopped || (number == 0 && code == ERR_OK))
        return;
    if (code != ERR_OK) {
        struct error e = {0};
        log_failure(s->options.log, &e);
        shard_stop(s, &e);
        return;
    }
    persisted(s, number);
    if (resets)
        shard_join_log_reset(s);
    shard_drain(s);
    shard_ask_turn(s);
}

void shard_write_reset(struct shard *s, const struct log_snapshot *reset, const struct log_hard_state *hard)
{
    struct shard_write *w = memory_zero(1, sizeof *w);
    w->shard = s;
    w->write = (struct log_write){.reset = reset, .state = hard, .done = on_written, .ctx = w};
    list_append(&s->writes, &w->link);
    log_submit(s->log, &w->write);
    w->write.reset = NULL;
    w->write.state = NULL;
}

/* A new group's log begins behind RAFT_BIRTH_INDEX, so that who joins it later has to take a snapshot and learns the membership
 * from it (consensus/raft.h). */
static void be_born(struct shard *s, const struct membership *first)
{
    struct buffer members = {0};
    membership_encode(first, &members);
    struct log_snapshot birth = {
        .index = RAFT_BIRTH_INDEX, .term = RAFT_BIRTH_TERM, .membership = buffer_view(&members)};
    struct log_hard_state hard = {.term = RAFT_BIRTH_TERM, .commit = RAFT_BIRTH_INDEX};
    shard_write_reset(s, &birth, &hard);
    buffer_close(&members);
}

static void trace_raft(void *ctx, enum raft_trace_level level, const char *text, size_t len)
{
    struct shard *s = ctx;
    TRACE(s->options.trace, level == RAFT_TRACE_ERROR ? TRACE_WARN : TRACE_DEBUG, "raft",
          trace_u64("node", s->options.node), trace_u64("shard", s->options.number),
          trace_bytes("says", bytes_of(text, len)));
}

int shard_raft_open(struct shard *s, struct error *e)
{
    struct raft_options o;
    raft_options_default(&o);
    bool founder = s->options.founders.voters.count > 0;
    if (log_snapshot(s->log).index == 0 && log_hard_state(s->log).term == 0 && founder)
        be_born(s, &s->options.founders);
    struct log_snapshot mark = log_snapshot(s->log);
    int rc = ERR_OK;
    if (mark.index > 0 && machine_applied(s->machine) == 0)
        rc = machine_set_membership(s->machine, RAFT_BIRTH_INDEX, mark.membership, e);
    struct bytes members = machine_membership(s->machine);
    if (rc == ERR_OK && mark.index > 0)
        rc = membership_decode(members.len > 0 ? members : mark.membership, &o.membership, e);
    if (rc != ERR_OK)
        return rc;
    struct log_hard_state hard = log_hard_state(s->log);
    o.group = s->options.number;
    o.node = s->options.node;
    o.hard = (struct raft_hard_state){.term = hard.term, .vote = hard.vote, .commit = hard.commit};
    o.applied = machine_applied(s->machine);
    o.max_uncommitted_size = 2 * (uint64_t)ENTRY_BYTES_MAX;
    o.random = &s->random;
    o.storage = &storage;
    o.storage_context = s;
    o.trace = s->options.trace != NULL ? trace_raft : NULL;
    o.trace_context = s;
    s->hard = o.hard;
    rc = raft_create(&o, &s->raft, e);
    bool alone = o.membership.voters.count == 1 && membership_has(&o.membership.voters, o.node) &&
                 !membership_joint(&o.membership);
    if (rc == ERR_OK && alone)
        raft_campaign(s->raft); /* there is nobody to ask */
    return rc;
}

void shard_write_again(struct shard *s)
{
    while (!list_empty(&s->unwritten)) {
        struct list_link *first = list_first(&s->unwritten);
        struct shard_write *w = CONTAINER_OF(first, struct shard_write, link);
        list_remove(&s->unwritten, first);
        list_append(&s->writes, first);
        log_retry(s->log, &w->write);
    }
}

static void submit_write(struct shard *s, const struct raft_ready *ready)
{
    struct shard_write *w = memory_zero(1, sizeof *w);
    struct log_entry few[READ_CHUNK];
    size_t n = ready->entry_count;
    struct log_entry *entries = n <= READ_CHUNK ? few : memory_alloc(n * sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        const struct raft_entry *from = &ready->entries[i];
        entries[i] = (struct log_entry){.index = from->index,
                                        .term = from->term,
                                        .kind = (uint8_t)from->kind,
                                        .data = {from->data, from->len},
                                        .owner = from->owner};
    }
    struct log_hard_state hard = {.term = s->hard.term, .vote = s->hard.vote, .commit = s->hard.commit};
    w->shard = s;
    w->number = ready->number;
    w->write.done = on_written;
    w->write.ctx = w;
    w->write.entries = entries;
    w->write.entries_n = n;
    struct buffer members = {0};
    struct log_snapshot reset;
    if (ready->snapshot != NULL) {
        shard_join_install(s, ready->snapshot->index);
        membership_encode(&ready->snapshot->membership, &members);
        reset = (struct log_snapshot){
            .index = ready->snapshot->index, .term = ready->snapshot->term, .membership = buffer_view(&members)};
        w->write.reset = &reset;
        w->resets = true;
    } else if (n > 0 && entries[0].index <= log_last(s->log))
        w->write.truncate_from = entries[0].index;
    if (s->hard_unwritten) {
        w->write.state = &hard;
        s->hard_unwritten = false;
    }
    list_append(&s->writes, &w->link);
    log_submit(s->log, &w->write);
    w->write.entries = NULL;
    w->write.state = NULL;
    w->write.reset = NULL;
    buffer_close(&members);
    if (entries != few)
        memory_free(entries);
}

/* The write of the highest number: those that a full disk refused mix with later ones when they are tried again. */
static struct shard_write *newest(const struct list *writes, struct shard_write *best)
{
    for (struct list_link *l = list_first(writes); l != NULL; l = list_next(writes, l)) {
        struct shard_write *w = CONTAINER_OF(l, struct shard_write, link);
        if (best == NULL || w->number > best->number)
            best = w;
    }
    return best;
}

/* Returns the number to report as persisted at once, 0 for none. */
static uint64_t write_ready(struct shard *s, const struct raft_ready *ready)
{
    if (ready->has_hard) {
        s->hard = ready->hard;
        s->hard_unwritten = true;
    }
    if (ready->must_sync || ready->entry_count > 0 || ready->snapshot != NULL) {
        submit_write(s, ready);
        return 0;
    }
    /* Only the commit index moved: it goes along with the next entries, for it can be found again from them. */
    struct shard_write *last = newest(&s->unwritten, newest(&s->writes, NULL));
    if (last == NULL)
        return ready->number;
    last->number = ready->number;
    return 0;
}

/* What was proposed in a term that is over has an unknown outcome, also when this replica leads again. */
static void follow_office(struct shard *s, uint32_t role, uint64_t term)
{
    bool elected = role == RAFT_LEADER;
    if (s->leads && !(elected && term == s->term))
        shard_lead(s, false);
    if (elected && !(s->elected && term == s->term))
        shard_changed(s);
    s->elected = elected;
    s->term = term;
}

void shard_drain(struct shard *s)
{
    while (!s->stopped && raft_has_ready(s->raft)) {
        struct raft_ready ready;
        raft_ready(s->raft, &ready);
        for (size_t i = 0; i < ready.message_count; i++)
            shard_link_send(s, &ready.messages[i]);
        for (size_t i = 0; i < ready.persisted_message_count; i++)
            shard_link_owe(s, &ready.persisted_messages[i], ready.number);
        uint64_t nothing_to_write = write_ready(s, &ready);
        raft_advance(s->raft);
        struct raft_status status;
        raft_status(s->raft, &status);
        follow_office(s, status.role, status.term);
        if (nothing_to_write != 0)
            persisted(s, nothing_to_write);
        if (ready.committed_count > 0)
            shard_apply(s, ready.committed, ready.committed_count);
    }
}
