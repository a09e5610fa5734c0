/* A store that is out of space. An entry may fail in its middle, so what the machine holds in memory is void; but the store has whole
 * entries only, and the log has what comes after them. The shard rests, as if it had stopped, until the store takes writes again; then
 * machine and raft are opened anew and the log replays, as at a start. */
#include "base/assert.h"
#include "shard/internal.h"
#include "store/store.h"

enum { REVIVE_TICKS = 10 };

void shard_rest(struct shard *s, const struct error *e)
{
    struct error why = {0};
    error_set(&why, ERR_STORAGE_FULL, "%s: free some, the shard goes on by itself then", e->message);
    s->resting = true;
    s->rested_ticks = 0;
    shard_stop(s, &why);
}

static bool at_rest(const struct shard *s)
{
    return s->works_out == 0 && list_empty(&s->writes) && list_empty(&s->unwritten);
}

/* The new ones are there before the old ones go: whoever looks at the shard finds a machine at any time. */
static int open_again(struct shard *s, struct error *e)
{
    struct machine *former = s->machine;
    struct raft *former_raft = s->raft;
    int rc = shard_machine_open(s, e);
    if (rc != ERR_OK)
        return rc;
    s->raft = NULL;
    rc = shard_raft_open(s, e);
    if (rc != ERR_OK) {
        machine_close(s->machine);
        s->machine = former;
        s->raft = former_raft;
        return rc;
    }
    machine_close(former);
    raft_destroy(former_raft);
    return ERR_OK;
}

static void give_up(struct shard *s, const struct error *e)
{
    s->resting = false;
    snprintf(s->problem, sizeof s->problem, "%s", e->message);
    TRACE(s->options.trace, TRACE_ERROR, "shard cannot go on", trace_u64("shard", s->options.number),
          trace_text("error", s->problem));
}

void shard_revive(struct shard *s)
{
    if (!s->resting || s->retiring || s->closing)
        return;
    shard_write_again(s);
    if (++s->rested_ticks < REVIVE_TICKS || !at_rest(s))
        return;
    s->rested_ticks = 0;
    shard_offer_close(s);
    shard_join_close(s);
    if (shard_leave_log(s))
        return;
    s->joined_bodies.len = 0;
    struct error e = {0};
    int rc = store_probe(s->options.store, &e);
    if (rc == ERR_OK)
        rc = open_again(s, &e);
    if (rc == ERR_STORAGE_FULL)
        return;
    if (rc != ERR_OK) {
        give_up(s, &e);
        return;
    }
    s->resting = false;
    s->leaving = false;
    s->stopped = false;
    s->hard_unwritten = false;
    shard_link_close(s); /* what the former raft owed goes by its numbers; raft repeats what matters */
    timekeeper_follow(&s->time);
    s->applied_bytes = s->marked_bytes = 0; /* what is replayed is counted again */
    s->spilled = log_first(s->log) - 1;     /* nobody knows what the former machine took for dead */
    s->persisted_meanwhile = 0;
    s->problem[0] = '\0';
    TRACE(s->options.trace, TRACE_INFO, "shard goes on as it is on disk", trace_u64("shard", s->options.number),
          trace_u64("from_entry", machine_applied(s->machine) + 1));
    shard_ask_turn(s);
}
