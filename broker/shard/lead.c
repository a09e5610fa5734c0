/* Who leads: the replica that the owner prefers, where it can. Where another leads, that one watches until the preferred replica has kept
 * up with it for a while, and hands the lead over as a node that stops does (handover.c). In a new group the preferred one does not
 * wait for an election timeout. Preferring is no rule: whoever the others elect leads meanwhile. Nodes that take no part are told. */
#include "shard/internal.h"
#include "shard/peer.h"

enum {
    STEADY_TICKS =
        100, /* the preferred replica has to keep up for so long: one that comes and goes is not handed anything */
    BEHIND_MAX = 64,  /* entries that a replica may lack and is keeping up */
    EAGER_TICKS = 15, /* after its opening the preferred replica stands for election ... */
    EAGER_EACH = 3,   /* ... whenever so many have gone by, until anybody leads */
    ANNOUNCE_TICKS = 5,
    TOLD_TICKS = 20,
    HEARD_TICKS = 5, /* raft forgets whom it has heard of once in an election timeout: a replica answers far sooner */
};

void shard_prefer(struct shard *s, uint64_t node)
{
    s->preferred = node;
}

/* ---------------------------------------------------------------- who is there */

static struct heard *heard_of(struct shard *s, uint64_t node)
{
    struct heard *free_one = NULL;
    for (size_t i = 0; i < RAFT_PEERS_MAX; i++) {
        if (s->heard[i].node == node)
            return &s->heard[i];
        if (free_one == NULL && s->heard[i].node == 0)
            free_one = &s->heard[i];
    }
    return free_one;
}

/* What a leader hears; whoever is elected anew begins anew. */
static void listen(struct shard *s, const struct raft_peer *peers, size_t count)
{
    if (s->heard_term != s->term)
        memset(s->heard, 0, sizeof s->heard);
    s->heard_term = s->term;
    for (size_t i = 0; i < count; i++) {
        struct heard *h = heard_of(s, peers[i].node);
        if (h == NULL)
            continue;
        if (peers[i].active)
            *h = (struct heard){.node = peers[i].node, .left = HEARD_TICKS};
        else if (h->left > 0)
            h->left--;
    }
}

bool shard_hears(const struct shard *s, uint64_t node)
{
    for (size_t i = 0; i < RAFT_PEERS_MAX && s->heard_term == s->term; i++)
        if (s->heard[i].node == node)
            return s->heard[i].left > 0;
    return false;
}

/* ---------------------------------------------------------------- handing it over */

static bool keeps_up(const struct shard *s, const struct raft_peer *peers, size_t count)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    for (size_t i = 0; i < count; i++)
        if (peers[i].node == s->preferred)
            return shard_hears(s, s->preferred) && peers[i].matched + BEHIND_MAX >= status.commit;
    return false;
}

/* Nothing was ever decided in the group but by its birth. */
static void stand_early(struct shard *s)
{
    struct raft_status status;
    if (s->eager_ticks >= EAGER_TICKS)
        return;
    raft_status(s->raft, &status);
    if (++s->eager_ticks % EAGER_EACH == 0 && status.leader == 0 && status.last_index == RAFT_BIRTH_INDEX)
        raft_campaign(s->raft);
}

/* ---------------------------------------------------------------- those who take no part */

static void announce(struct shard *s)
{
    const struct membership_list *others = &s->placement.others;
    if (!s->leads || others->count == 0 || (s->announce_ticks > 0 && --s->announce_ticks > 0))
        return;
    s->announce_ticks = ANNOUNCE_TICKS;
    struct buffer frame = {0};
    peer_put_lead(&frame, s->term);
    for (uint32_t i = 0; i < others->count; i++)
        if (others->ids[i] != s->options.node)
            s->env->send(s->env->ctx, s, others->ids[i], s->options.number, buffer_view(&frame), NULL, 0);
    buffer_close(&frame);
}

void shard_lead_told(struct shard *s, uint64_t node, uint64_t term)
{
    if (s->told.left == 0 || term >= s->told.term)
        s->told = (struct told){.node = node, .term = term, .left = TOLD_TICKS};
}

uint64_t shard_leader(const struct shard *s)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    return status.leader == 0 && s->told.left > 0 ? s->told.node : status.leader;
}

void shard_lead_tick(struct shard *s)
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    s->told.left -= s->told.left > 0;
    announce(s);
    if (!s->elected) {
        s->announce_ticks = 0;
        s->steady_ticks = 0;
        if (s->preferred == s->options.node)
            stand_early(s);
        return;
    }
    size_t count = raft_peers(s->raft, peers, RAFT_PEERS_MAX);
    listen(s, peers, count);
    bool other = s->preferred != 0 && s->preferred != s->options.node;
    bool wanted = s->placement.voters.count == 0 || membership_has(&s->placement.voters, s->preferred);
    bool could = other && wanted && s->leads && !s->retiring && s->handover_ticks == 0 && keeps_up(s, peers, count);
    s->steady_ticks = could ? s->steady_ticks + 1 : 0;
    if (s->steady_ticks < STEADY_TICKS)
        return;
    s->steady_ticks = 0;
    shard_hand_to(s, s->preferred);
}
