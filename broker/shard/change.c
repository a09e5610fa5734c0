/* Who takes part in the group: what the owner wants (shard_place) is brought about by whoever leads, one step at a time, each an entry:
 *
 *   a newcomer becomes a learner -> it has the log -> one joint change: newcomers vote, who is not wanted goes -> raft leaves the joint state
 *
 * (Ongaro, "Consensus: Bridging Theory and Practice", 4.2.1 and 4.3.) A leader that is not wanted stays until the others are there, hands over
 * to one of them, and that one lets it go. A step is made only where the voters that it ends with have a majority that keeps up: what a
 * change begins has to come to its end. What was let go of empties itself (leave.c).
 *
 * A change counts from when it is applied, and after a restart from when it is known again to be committed. A replica that knows it only in
 * memory would then still ask the former members, so these have to last until a majority knows on disk: when an entry is committed that
 * was proposed after the change had been applied, for with such an entry each replica writes how far it knows the log to be committed. */
#include "shard/internal.h"

enum { BEHIND_MAX = 64 }; /* entries that a replica which has any may lack and has the log */

struct group {
    struct shard *s;
    struct membership now;
    uint64_t commit;
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t peer_count;
};

struct step {
    struct raft_change changes[RAFT_PEERS_MAX];
    size_t count;
};

bool shard_wants(const struct shard *s, uint64_t node)
{
    return membership_has(&s->placement.voters, node) || membership_has(&s->placement.learners, node);
}

void shard_place(struct shard *s, const struct placement *p)
{
    s->placement = *p;
}

/* ---------------------------------------------------------------- looking at it */

static bool look(struct shard *s, struct group *g)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    g->s = s;
    g->commit = status.commit;
    bool settled = !status.change_pending && shard_members(s, &g->now) == ERR_OK && !membership_joint(&g->now);
    g->peer_count = settled ? raft_peers(s->raft, g->peers, RAFT_PEERS_MAX) : 0;
    return settled;
}

static bool has_the_log(const struct group *g, uint64_t node)
{
    if (node == g->s->options.node)
        return true;
    for (size_t i = 0; i < g->peer_count; i++)
        if (g->peers[i].node == node)
            return shard_hears(g->s, node) && g->peers[i].matched > 0 && g->peers[i].matched + BEHIND_MAX >= g->commit;
    return false;
}

static bool majority_has_the_log(const struct group *g, const struct membership_list *voters)
{
    uint32_t with = 0;
    for (uint32_t i = 0; i < voters->count; i++)
        with += has_the_log(g, voters->ids[i]);
    return with > voters->count / 2;
}

/* ---------------------------------------------------------------- steps */

static void add(struct step *step, uint64_t node, enum raft_change_kind kind)
{
    step->changes[step->count++] = (struct raft_change){.node = node, .kind = kind};
}

/* One node that takes no part yet. */
static void greet(const struct group *g, struct step *step)
{
    const struct membership_list *lists[] = {&g->s->placement.voters, &g->s->placement.learners};
    for (size_t l = 0; l < 2; l++)
        for (uint32_t i = 0; i < lists[l]->count; i++)
            if (step->count == 0 && !membership_includes(&g->now, lists[l]->ids[i]))
                add(step, lists[l]->ids[i], RAFT_ADD_LEARNER);
}

/* One learner that is not wanted. */
static void dismiss(const struct group *g, struct step *step)
{
    for (uint32_t i = 0; i < g->now.learners.count && step->count == 0; i++)
        if (!shard_wants(g->s, g->now.learners.ids[i]))
            add(step, g->now.learners.ids[i], RAFT_REMOVE);
}

/* From the voters that there are to those that are wanted, but for the leader, which can't be let go of. */
static void replace(const struct group *g, struct step *step)
{
    const struct placement *wanted = &g->s->placement;
    struct membership_list after = {0};
    for (uint32_t i = 0; i < wanted->voters.count; i++) {
        uint64_t node = wanted->voters.ids[i];
        bool votes = membership_has(&g->now.voters, node);
        if (!votes && !has_the_log(g, node)) {
            step->count = 0;
            return;
        }
        if (!votes)
            add(step, node, RAFT_ADD_VOTER);
        membership_add(&after, node);
    }
    for (uint32_t i = 0; i < g->now.voters.count; i++) {
        uint64_t node = g->now.voters.ids[i];
        if (node == g->s->options.node)
            membership_add(&after, node);
        else if (!membership_has(&wanted->voters, node))
            add(step, node, membership_has(&wanted->learners, node) ? RAFT_ADD_LEARNER : RAFT_REMOVE);
    }
    if (!majority_has_the_log(g, &after))
        step->count = 0;
}

void shard_changed(struct shard *s)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    s->changed_at = status.last_index;
}

bool shard_change_lasts(struct shard *s)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    if (status.commit > s->changed_at)
        return true;
    if (status.last_index <= s->changed_at)
        shard_batch_for(s, 0);
    return false;
}

static void propose(struct shard *s, const struct step *step)
{
    struct error e = {0};
    if (raft_propose_membership(s->raft, step->changes, step->count, NULL, &e) == ERR_OK)
        shard_ask_turn(s);
    TRACE(s->options.trace, TRACE_INFO, "members change", trace_u64("shard", s->options.number),
          trace_u64("node", step->changes[0].node), trace_u64("changes", step->count), trace_text("error", e.message));
}

/* To one that is wanted, who will let this node go. */
static void give_way(const struct group *g)
{
    struct shard *s = g->s;
    const struct membership_list *voters = &s->placement.voters;
    if (membership_has(voters, s->options.node))
        return;
    for (uint32_t i = 0; i < voters->count; i++)
        if (membership_has(&g->now.voters, voters->ids[i]) && has_the_log(g, voters->ids[i])) {
            shard_hand_to(s, voters->ids[i]);
            return;
        }
}

void shard_change_tick(struct shard *s)
{
    struct group g;
    struct step step = {.count = 0};
    if (!s->leads || s->retiring || s->closing || s->placement.voters.count == 0 || shard_hands_over(s) || !look(s, &g))
        return;
    greet(&g, &step);
    if (step.count == 0)
        dismiss(&g, &step);
    if (step.count == 0)
        replace(&g, &step);
    if (step.count > 0)
        propose(s, &step);
    else if (shard_change_lasts(s))
        give_way(&g);
}

static bool same(const struct membership_list *a, const struct membership_list *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof a->ids[0]) == 0;
}

uint64_t shard_placed(struct shard *s)
{
    struct membership now;
    bool placed = s->leads && shard_change_lasts(s) && shard_members(s, &now) == ERR_OK && !membership_joint(&now) &&
                  same(&now.voters, &s->placement.voters) && same(&now.learners, &s->placement.learners);
    return placed ? s->placement.version : 0;
}
