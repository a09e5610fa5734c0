/* Frames to and from other nodes: raft's messages, and channels between shards whose leaders are on different nodes.
 *
 * A follower's answers wait for its disk: they are *owed* under the number of the ready they came with, and go out when that
 * number is persisted. */
#include "base/assert.h"
#include "base/memory.h"
#include "consensus/envelope.h"
#include "shard/internal.h"
#include "shard/peer.h"

struct owed {
    struct list_link link;
    uint64_t number; /* of the ready */
    uint64_t to;
    struct buffer frame;
};

static void encode(struct shard *s, const struct raft_message *m, struct buffer *to)
{
    peer_begin(to, m->kind == RAFT_SNAPSHOT ? PEER_OFFER : PEER_RAFT);
    buffer_u64(to, timekeeper_known_ms(&s->time));
    envelope_encode(m, to);
}

void shard_link_send(struct shard *s, const struct raft_message *m)
{
    enum { FEW = 64 };
    struct shard_part few[FEW];
    struct shard_part *parts = m->entry_count <= FEW ? few : memory_alloc(m->entry_count * sizeof(struct shard_part));
    size_t count = 0;
    for (size_t i = 0; i < m->entry_count; i++)
        if (m->entries[i].len > 0)
            parts[count++] = (struct shard_part){bytes_of(m->entries[i].data, m->entries[i].len), m->entries[i].owner};
    struct buffer head = {0};
    encode(s, m, &head);
    s->env->send(s->env->ctx, s, m->to, s->options.number, buffer_view(&head), parts, count);
    buffer_close(&head);
    if (parts != few)
        memory_free(parts);
}

void shard_link_owe(struct shard *s, const struct raft_message *m, uint64_t number)
{
    ASSERT(m->entry_count == 0);
    struct owed *o = memory_zero(1, sizeof *o);
    o->number = number;
    o->to = m->to;
    encode(s, m, &o->frame);
    list_append(&s->owed, &o->link);
}

static struct owed *first_owed(const struct shard *s)
{
    struct list_link *first = list_first(&s->owed);
    return first != NULL ? CONTAINER_OF(first, struct owed, link) : NULL;
}

static void owed_free(struct shard *s, struct owed *o)
{
    list_remove(&s->owed, &o->link);
    buffer_close(&o->frame);
    memory_free(o);
}

void shard_link_release(struct shard *s, uint64_t number)
{
    struct owed *o;
    while ((o = first_owed(s)) != NULL && o->number <= number) {
        s->env->send(s->env->ctx, s, o->to, s->options.number, buffer_view(&o->frame), NULL, 0);
        owed_free(s, o);
    }
}

void shard_link_close(struct shard *s)
{
    struct owed *o;
    while ((o = first_owed(s)) != NULL)
        owed_free(s, o);
}

/* ---------------------------------------------------------------- receiving */

static int decode(struct blob *frame, struct raft_message *m, uint64_t *time_ms, struct error *e)
{
    struct cursor rest;
    enum peer_kind kind;
    int rc = peer_open(blob_view(frame), &rest, &kind, e);
    *time_ms = cursor_u64(&rest);
    return rc == ERR_OK ? envelope_decode(frame, cursor_take(&rest, cursor_left(&rest)), m, e) : rc;
}

/* A message that is refused is dropped and told of: raft repeats what matters. */
int shard_link_step(struct shard *s, uint64_t node, struct blob *frame, struct error *e)
{
    struct raft_message m;
    uint64_t time_ms;
    int rc = decode(frame, &m, &time_ms, e);
    if (rc != ERR_OK)
        return rc;
    m.from = node;
    shard_leave_heard(s);
    rc = raft_step(s->raft, &m, e);
    if (rc == ERR_OK && time_ms > 0)
        timekeeper_hear(&s->time, time_ms);
    envelope_free(&m);
    if (rc == ERR_CORRUPT)
        shard_stop(s, e);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* A snapshot reaches raft when its state is there, and no other way. */
static int take_raft(struct shard *s, uint64_t node, struct blob *frame, bool offers, struct error *e)
{
    struct raft_message m;
    struct raft_snapshot offer;
    uint64_t time_ms;
    int rc = decode(frame, &m, &time_ms, e);
    if (rc != ERR_OK)
        return rc;
    bool snapshot = envelope_snapshot(&m, &offer);
    if (snapshot != offers)
        rc = error_set(e, ERR_PROTOCOL, "a message of raft that is not what its frame says");
    else if (offers)
        rc = shard_join_offered(s, node, frame, &offer, e);
    else
        rc = shard_link_step(s, node, frame, e);
    envelope_free(&m);
    return rc;
}

static int take(struct shard *s, uint64_t node, struct blob *frame, struct error *e)
{
    struct cursor rest;
    enum peer_kind kind;
    struct peer_accept accept;
    struct peer_accepted accepted;
    struct peer_want want;
    struct peer_part part;
    struct bytes records;
    uint64_t question, term;
    int rc = peer_open(blob_view(frame), &rest, &kind, e);
    if (rc != ERR_OK)
        return rc;
    switch (kind) {
    case PEER_RAFT:
    case PEER_OFFER:
        return take_raft(s, node, frame, kind == PEER_OFFER, e);
    case PEER_WANT:
        rc = peer_get_want(&rest, &want, e);
        return rc == ERR_OK ? shard_offer_wanted(s, node, &want, e) : rc;
    case PEER_PART:
        rc = peer_get_part(&rest, &part, &records, e);
        return rc == ERR_OK ? shard_join_part(s, node, &part, records, frame, e) : rc;
    case PEER_ACCEPT:
        rc = peer_get_accept(&rest, &accept, e);
        return rc == ERR_OK ? shard_accept(s, node, &accept, e) : rc;
    case PEER_ACCEPTED:
        rc = peer_get_accepted(&rest, &accepted, e);
        return rc == ERR_OK ? shard_forward_accepted(s, &accepted, e) : rc;
    case PEER_MEMBER:
        rc = peer_get_member(&rest, &question, e);
        if (rc == ERR_OK)
            shard_leave_asked(s, node, question);
        return rc;
    case PEER_LEAD:
        rc = peer_get_lead(&rest, &term, e);
        if (rc == ERR_OK)
            shard_lead_told(s, node, term);
        return rc;
    case PEER_STRANGER:
        rc = peer_get_stranger(&rest, &question, &term, e);
        if (rc == ERR_OK)
            shard_leave_told(s, question, term);
        return rc;
    }
    return error_set(e, ERR_PROTOCOL, "a frame of kind %d, which this build does not know", kind);
}

void shard_receive(struct shard *s, uint64_t node, struct blob *frame)
{
    if (s->stopped || s->closing)
        return;
    struct error e = {0};
    if (take(s, node, frame, &e) != ERR_OK)
        TRACE(s->options.trace, TRACE_WARN, "peer's frame refused", trace_u64("shard", s->options.number),
              trace_u64("node", node), trace_text("error", e.message));
    shard_ask_turn(s);
}

void shard_unreachable(struct shard *s, uint64_t node)
{
    if (!s->stopped && !s->closing)
        raft_report_unreachable(s->raft, node);
}
