#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"

enum { CACHE_BYTES_DEFAULT = 8 * 1024 * 1024 };

static void destroy(struct shard *s)
{
    shard_join_close(s);
    shard_offer_close(s);
    raft_destroy(s->raft);
    machine_close(s->machine);
    machine_output_close(&s->output);
    bodies_close(&s->bodies);
    idmap_close(&s->readings);
    memory_free(s);
}

int shard_machine_open(struct shard *s, struct error *e)
{
    const struct shard_options *o = &s->options;
    struct machine_options m = {.shard = o->number, .shards = o->shards, .store = o->store};
    int rc = shard_leave_forget(s, e);
    if (rc == ERR_OK)
        rc = shard_join_resume(s, e);
    return rc == ERR_OK ? machine_open(&m, &s->machine, e) : rc;
}

int shard_open(const struct shard_options *options, struct shard **out, struct error *e)
{
    struct shard *s = memory_zero(1, sizeof *s);
    s->options = *options;
    s->env = options->env;
    if (s->options.flush_bytes == 0)
        s->options.flush_bytes = SHARD_FLUSH_BYTES;
    if (s->options.spill_file_bytes == 0)
        s->options.spill_file_bytes = SHARD_SPILL_FILE_BYTES;
    s->accept_sends = true;
    random_open(&s->random, options->seed);
    list_init(&s->waiting);
    list_init(&s->proposed);
    list_init(&s->writes);
    list_init(&s->unwritten);
    list_init(&s->owed);
    list_init(&s->dirty_lines);
    list_init(&s->held);
    list_init(&s->unready);
    bodies_open(&s->bodies, options->cache_bytes > 0 ? options->cache_bytes : CACHE_BYTES_DEFAULT);
    s->log = log_group(options->log, options->number, options->port);
    int rc = shard_machine_open(s, e);
    bool new_store = rc == ERR_OK && machine_applied(s->machine) == 0 && log_first(s->log) <= RAFT_BIRTH_INDEX + 1;
    if (rc == ERR_OK && !new_store && machine_applied(s->machine) + 1 < log_first(s->log))
        rc = error_set(
            e, ERR_CORRUPT,
            "the store has shard %u up to entry %llu but the log begins at %llu: restore this node from a backup",
            options->number, (unsigned long long)machine_applied(s->machine), (unsigned long long)log_first(s->log));
    if (rc == ERR_OK && machine_applied(s->machine) > log_last(s->log))
        rc = error_set(
            e, ERR_CORRUPT,
            "the store has shard %u up to entry %llu but the log ends at %llu: restore this node from a backup",
            options->number, (unsigned long long)machine_applied(s->machine), (unsigned long long)log_last(s->log));
    if (rc == ERR_OK) {
        s->durable = machine_applied(s->machine);
        s->spilled = log_first(s->log) - 1;
        timekeeper_open(&s->time, &s->env->clock);
        rc = shard_raft_open(s, e);
    }
    if (rc != ERR_OK) {
        destroy(s);
        return rc;
    }
    *out = s;
    shard_ask_turn(s);
    return ERR_OK;
}

static void free_writes(struct list *writes)
{
    while (!list_empty(writes)) {
        struct list_link *first = list_first(writes);
        list_remove(writes, first);
        memory_free(CONTAINER_OF(first, struct shard_write, link));
    }
}

void shard_abandon_begin(struct shard *s)
{
    s->closing = true;
    s->leads = false;
    shard_forwards_recall(s);
    shard_batches_fail(s, ERR_CLOSED, "the broker is stopping");
    shard_lines_end(s, ERR_CLOSED, "the broker is stopping");
}

void shard_abandon_end(struct shard *s)
{
    ASSERT(s->works_out == 0);
    shard_batches_fail(s, ERR_CLOSED, "the broker is stopping");
    shard_lines_close(s);
    shard_forwards_close(s);
    shard_link_close(s);
    free_writes(&s->unwritten);
    free_writes(&s->writes);
    destroy(s);
}

void shard_close(struct shard *s)
{
    if (s == NULL)
        return;
    ASSERT(!shard_busy(s));
    shard_abandon_begin(s);
    shard_abandon_end(s);
}

bool shard_busy(const struct shard *s)
{
    bool answering = s->leads && list_empty(&s->unwritten) &&
                     (s->open != NULL || !list_empty(&s->waiting) || !list_empty(&s->proposed));
    return s->works_out > 0 || !list_empty(&s->writes) || answering;
}

void shard_stop(struct shard *s, const struct error *e)
{
    if (s->stopped)
        return;
    s->stopped = true;
    bool led = s->leads;
    s->leads = false;
    s->elected = false;
    snprintf(s->problem, sizeof s->problem, "%s", e->message);
    TRACE(s->options.trace, TRACE_ERROR, "shard stopped", trace_u64("shard", s->options.number),
          trace_text("error", s->problem));
    int code = s->resting ? ERR_STORAGE_FULL : ERR_CORRUPT;
    shard_forwards_recall(s);
    shard_batches_fail(s, code, s->problem);
    shard_lines_end(s, code, s->problem);
    if (led)
        s->env->leading(s->env->ctx, s, false);
    s->env->stopped(s->env->ctx, s);
}

void shard_ask_turn(struct shard *s)
{
    if (s->turn_asked)
        return;
    s->turn_asked = true;
    s->env->ask_turn(s->env->ctx, s);
}

void shard_turn(struct shard *s)
{
    s->turn_asked = false;
    if (s->stopped)
        return;
    shard_held_serve(s);
    if (s->leads && !shard_hands_over(s)) {
        shard_lines_serve(s);
        shard_propose(s);
    }
    shard_drain(s);
    shard_handover_try(s);
}

void shard_tick(struct shard *s)
{
    if (s->stopped) {
        shard_revive(s);
        return;
    }
    if (s->retiring && !list_empty(&s->unwritten)) { /* nobody is made to wait for a full disk when stopping */
        if (!s->closing)
            shard_abandon_begin(s);
        return;
    }
    shard_write_again(s);
    raft_tick(s->raft);
    shard_handover_tick(s);
    shard_lead_tick(s);
    shard_change_tick(s);
    shard_leave_tick(s);
    shard_forwards_tick(s);
    shard_offer_tick(s);
    shard_join_tick(s);
    shard_ask_turn(s);
}

uint64_t shard_now_ms(struct shard *s)
{
    return timekeeper_now_ms(&s->time);
}

uint64_t shard_due_in_ms(struct shard *s)
{
    if (!s->leads || s->closing)
        return NEVER;
    if (s->open != NULL || !list_empty(&s->waiting) || !list_empty(&s->proposed))
        return NEVER; /* what is on its way brings the time along; asked again after it */
    uint64_t due = machine_next_due_ms(s->machine);
    if (due == NEVER)
        return NEVER;
    uint64_t now = shard_now_ms(s);
    return due > now ? due - now : 0;
}

void shard_due(struct shard *s)
{
    if (shard_due_in_ms(s) == 0)
        shard_batch_for(s, 0);
}

void shard_work(struct shard *s, struct work *w)
{
    s->works_out++;
    s->env->work(s->env->ctx, w);
}

void shard_work_done(struct shard *s)
{
    ASSERT(s->works_out > 0);
    s->works_out--;
}

void shard_query_failed(struct shard *s, const struct error *e)
{
    if (e->code == ERR_CORRUPT)
        shard_stop(s, e);
}

uint16_t shard_number(const struct shard *s)
{
    return s->options.number;
}

bool shard_leads(const struct shard *s)
{
    return s->leads;
}

const char *shard_problem(const struct shard *s)
{
    return s->problem;
}

struct machine *shard_machine(struct shard *s)
{
    return s->machine;
}

void shard_accept_sends(struct shard *s, bool accept)
{
    s->accept_sends = accept;
}

int shard_members(const struct shard *s, struct membership *m)
{
    struct bytes stored = machine_membership(s->machine);
    return membership_decode(stored.len > 0 ? stored : log_snapshot(s->log).membership, m, NULL);
}

static const char *state_of(const struct shard *s, const struct raft_peer *p, uint64_t last_index)
{
    static const char *const states[] = {"probing", "replicating", "snapshot"};
    if (p->node == s->options.node)
        return "leader";
    if (!shard_hears(s, p->node))
        return "silent";
    bool has_all = p->state == RAFT_PEER_PROBE && p->matched == last_index; /* there is nothing to find out by */
    return has_all ? "replicating" : states[p->state];
}

size_t shard_replicas(const struct shard *s, struct shard_replica out[SHARD_REPLICAS_MAX])
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    struct membership members;
    _Static_assert((int)SHARD_REPLICAS_MAX == (int)RAFT_PEERS_MAX, "room for all");
    if (!s->elected || s->stopped || shard_members(s, &members) != ERR_OK)
        return 0;
    struct raft_status status;
    raft_status(s->raft, &status);
    size_t count = raft_peers(s->raft, peers, RAFT_PEERS_MAX);
    for (size_t i = 0; i < count; i++)
        out[i] = (struct shard_replica){
            .node = peers[i].node,
            .matched = peers[i].matched,
            .state = state_of(s, &peers[i], status.last_index),
            .voter = membership_has(&members.voters, peers[i].node) || membership_has(&members.outgoing, peers[i].node),
        };
    return count;
}

void shard_status(const struct shard *s, struct shard_status *out)
{
    static const char *const roles[] = {"follower", "candidate", "leader", "candidate"};
    struct raft_status status;
    raft_status(s->raft, &status);
    *out = (struct shard_status){
        .role = s->leaving   ? "leaving"
                : s->resting ? "resting"
                : s->stopped ? "stopped"
                             : roles[status.role],
        .leader = shard_leader(s),
        .term = status.term,
        .commit = status.commit,
        .applied = machine_applied(s->machine),
        .durable = s->durable,
    };
}
