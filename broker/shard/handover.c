/* Handing the lead over when the node stops, or to a replica that is to have it (lead.c, change.c), so that clients wait for a round trip and not for an election timeout (Ongaro,
 * "Consensus: Bridging Theory and Practice", 3.10). What is proposed is brought to its end first, so that nobody is told of an
 * unknown outcome; what comes meanwhile waits, and when the lead is gone it is refused as not led here: the next leader is asked. */
#include "shard/internal.h"

enum {
    HANDOVER_TICKS = 30, /* then the node stops as it is, and the others have to notice */
    HANDOVER_AGAIN = 12, /* raft gives up after an election timeout; another voter may be better by then */
};

static void hand_to(struct shard *s, uint64_t node)
{
    s->handover_begun = raft_transfer(s->raft, node, NULL) == ERR_OK;
    if (s->handover_begun)
        shard_ask_turn(s);
    else
        s->handover_ticks = 0;
}

/* To the voter that has most of the log, of those that were heard of lately. */
static void hand_over(struct shard *s)
{
    if (!s->retiring) {
        hand_to(s, s->successor);
        return;
    }
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = raft_peers(s->raft, peers, RAFT_PEERS_MAX);
    for (bool told = false; !told;) {
        struct raft_peer *best = NULL;
        for (size_t i = 0; i < count; i++)
            if (peers[i].active && peers[i].node != s->options.node &&
                (best == NULL || peers[i].matched > best->matched))
                best = &peers[i];
        if (best == NULL)
            return;
        told = raft_transfer(s->raft, best->node, NULL) == ERR_OK;
        best->active = false; /* a learner: the next one */
    }
    s->handover_begun = true;
    shard_ask_turn(s);
}

/* It gave the lead away, and nobody has said yet that he took it. */
static bool waits_for_another(const struct shard *s)
{
    struct raft_status status;
    if (!s->handover_begun)
        return false;
    raft_status(s->raft, &status);
    return status.leader == 0;
}

bool shard_hands_over(const struct shard *s)
{
    return s->handover_ticks > 0 && !s->stopped && !s->closing && (s->elected || waits_for_another(s));
}

void shard_handover_try(struct shard *s)
{
    if (shard_hands_over(s) && s->elected && !s->handover_begun && list_empty(&s->proposed))
        hand_over(s);
}

void shard_handover_tick(struct shard *s)
{
    if (!s->retiring && !s->elected) /* it is done */
        s->handover_ticks = 0;
    if (!shard_hands_over(s))
        return;
    if (--s->handover_ticks % HANDOVER_AGAIN == 0)
        s->handover_begun = false;
    if (s->handover_ticks > 0 || s->retiring)
        shard_handover_try(s);
    else
        shard_ask_turn(s); /* it goes on leading */
}

void shard_hand_to(struct shard *s, uint64_t node)
{
    s->successor = node;
    s->handover_begun = false;
    s->handover_ticks = HANDOVER_AGAIN;
    shard_handover_try(s);
}

void shard_retire(struct shard *s)
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    s->retiring = true;
    s->handover_begun = false;
    if (!s->stopped && raft_peers(s->raft, peers, RAFT_PEERS_MAX) > 1) /* it may yet be elected while it stops */
        s->handover_ticks = HANDOVER_TICKS;
    shard_handover_try(s);
}
