#include "cluster/mesh.h"

#include <string.h>

#include "cluster/gate.h"
#include "cluster/link.h"

static void on_end(struct turn *turn)
{
    struct mesh *m = CONTAINER_OF(turn, struct mesh, end);
    if (!m->closing || m->open > 0 || m->closed == NULL)
        return;
    void (*closed)(struct mesh *) = m->closed;
    m->closed = NULL;
    alarms_close(&m->alarms);
    closed(m);
}

int mesh_open(struct mesh *m, const struct mesh_options *o, struct error *e)
{
    *m = (struct mesh){.options = *o};
    m->end.run = on_end;
    random_open(&m->random, o->seed);
    list_init(&m->guests);
    int rc = gate_open(m, e);
    if (rc != ERR_OK)
        return rc;
    alarms_open(&m->alarms, o->loop);
    mesh_update(m);
    return ERR_OK;
}

static bool same(const struct roster_peer *a, const struct roster_peer *b)
{
    return a->node == b->node && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool is_in(const struct roster_peer *peers, size_t count, const struct roster_peer *peer)
{
    for (size_t i = 0; i < count; i++)
        if (same(&peers[i], peer))
            return true;
    return false;
}

static void let_go(struct mesh *m, const struct roster_peer *peers, size_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->link_count; i++)
        if (is_in(peers, count, &m->links[i]->peer))
            m->links[kept++] = m->links[i];
        else
            link_close(m->links[i]);
    m->link_count = kept;
}

static void dial(struct mesh *m, const struct roster_peer *peer)
{
    struct link *l = link_create(m, peer);
    m->links[m->link_count++] = l;
    m->open++;
    if (m->started)
        link_start(l);
}

void mesh_update(struct mesh *m)
{
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    if (m->closing)
        return;
    size_t count = roster_nodes(m->options.roster, peers);
    let_go(m, peers, count);
    for (size_t i = 0; i < count; i++)
        if (peers[i].node != roster_self(m->options.roster) && mesh_peer(m, peers[i].node) == NULL)
            dial(m, &peers[i]);
    gate_update(m, peers, count);
}

int mesh_start(struct mesh *m, struct error *e)
{
    int rc = gate_start(m, e);
    m->started = rc == ERR_OK;
    for (uint32_t i = 0; rc == ERR_OK && i < m->link_count; i++)
        link_start(m->links[i]);
    return rc;
}

void mesh_close(struct mesh *m, void (*closed)(struct mesh *m))
{
    m->closing = true;
    m->closed = closed;
    for (uint32_t i = 0; i < m->link_count; i++)
        link_close(m->links[i]);
    m->link_count = 0;
    gate_close(m);
    loop_at_turn_end(m->options.loop, TURN_WRITE, &m->end);
}

static struct link *link_to(const struct mesh *m, uint64_t node)
{
    for (uint32_t i = 0; i < m->link_count; i++)
        if (m->links[i]->peer.node == node)
            return m->links[i];
    return NULL;
}

struct buffer *mesh_begin(struct mesh *m, struct mesh_frame *f, uint64_t node, uint16_t shard, size_t len)
{
    f->link = link_to(m, node);
    f->to = f->link != NULL ? link_begin(f->link, FRAME_SHARD, shard, len, &f->at) : NULL;
    return f->to;
}

void mesh_end(struct mesh_frame *f)
{
    link_end(f->link, f->at);
}

const struct roster_peer *mesh_peer(const struct mesh *m, uint64_t node)
{
    const struct link *l = link_to(m, node);
    return l != NULL ? &l->peer : NULL;
}

bool mesh_reaches(const struct mesh *m, uint64_t node)
{
    const struct link *l = link_to(m, node);
    return l != NULL && l->step == LINK_UP;
}
