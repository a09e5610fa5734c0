/* A replica that the group has let go of empties itself: it gives back its space, and may join again later as one that has nothing.
 *
 * It may not know that it was let go of, for what says so is no longer sent to it. So one that is not wanted asks those that are; the
 * leader says whether it is a member. It believes a "no" only if nothing of raft reached it since it asked, and no later leader than
 * who answers is known to it: then it has promised nothing that still counts. Its term and vote are kept, so that it never votes twice.
 *
 *   asks -> told no -> what is under way ends -> the log begins anew, empty -> the store lets go of the shard -> as who never joined
 *
 * A log that has nothing but a term is that of a replica that left: what the store still has of it goes when the machine opens. */
#include "shard/internal.h"
#include "shard/peer.h"
#include "state/keys.h"
#include "store/store.h"

enum { ASK_TICKS = 10 };

/* ---------------------------------------------------------------- asking */

static void ask(struct shard *s)
{
    const struct membership_list *voters = &s->placement.voters;
    struct buffer frame = {0};
    s->leave_question = random_next(&s->random) | 1;
    peer_put_member(&frame, s->leave_question);
    uint64_t node = voters->ids[s->leave_asked++ % voters->count];
    s->env->send(s->env->ctx, s, node, s->options.number, buffer_view(&frame), NULL, 0);
    buffer_close(&frame);
}

void shard_leave_asked(struct shard *s, uint64_t node, uint64_t question)
{
    struct membership now;
    struct raft_status status;
    raft_status(s->raft, &status);
    if (!s->leads || status.change_pending)
        return;
    if (shard_members(s, &now) != ERR_OK || membership_includes(&now, node) || !shard_change_lasts(s))
        return;
    struct buffer frame = {0};
    peer_put_stranger(&frame, question, status.term);
    s->env->send(s->env->ctx, s, node, s->options.number, buffer_view(&frame), NULL, 0);
    buffer_close(&frame);
}

void shard_leave_heard(struct shard *s)
{
    s->leave_question = 0;
}

void shard_leave_told(struct shard *s, uint64_t question, uint64_t term)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    bool counts = question != 0 && question == s->leave_question && term >= status.term;
    if (!counts || s->elected || shard_wants(s, s->options.node))
        return;
    TRACE(s->options.trace, TRACE_INFO, "the group has let this replica go", trace_u64("shard", s->options.number),
          trace_u64("term", term));
    s->leaving = true;
    s->resting = true;
    s->stopped = true; /* revive.c opens it anew */
    s->rested_ticks = 0;
}

/* ---------------------------------------------------------------- going */

bool shard_leave_log(struct shard *s)
{
    if (!s->leaving || log_snapshot(s->log).index == 0)
        return false;
    struct log_snapshot nothing = {0};
    struct log_hard_state kept = {.term = s->hard.term, .vote = s->hard.vote};
    shard_write_reset(s, &nothing, &kept);
    return true;
}

int shard_leave_forget(struct shard *s, struct error *e)
{
    struct store *store = s->options.store;
    uint16_t number = s->options.number;
    if (log_snapshot(s->log).index > 0 || log_last(s->log) > 0 || log_hard_state(s->log).term == 0)
        return ERR_OK;
    struct key from = shard_key(number, false), to = key_after(&from);
    int rc = shard_drop_state(store, number, true, e);
    if (rc == ERR_OK)
        rc = shard_drop_state(store, number, false, e);
    if (rc == ERR_OK)
        rc = store_drop_range(store, STORE_BODIES, key_view(&from), key_view(&to), e);
    return rc;
}

void shard_leave_tick(struct shard *s)
{
    bool member = log_snapshot(s->log).index > 0;
    if (!member || s->elected || s->placement.voters.count == 0 || shard_wants(s, s->options.node))
        s->leave_ticks = 0;
    else if (++s->leave_ticks % ASK_TICKS == 0)
        ask(s);
}
