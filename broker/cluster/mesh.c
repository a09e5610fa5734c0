#include "cluster/mesh.h"

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
    const struct roster_peer *peer;
    while ((peer = roster_peer(o->roster, m->link_count)) != NULL) {
        m->links[m->link_count++] = link_create(m, peer);
        m->open++;
    }
    return ERR_OK;
}

int mesh_start(struct mesh *m, struct error *e)
{
    int rc = gate_start(m, e);
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
        if (m->links[i]->peer->node == node)
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
    return l != NULL ? l->peer : NULL;
}

bool mesh_reaches(const struct mesh *m, uint64_t node)
{
    const struct link *l = link_to(m, node);
    return l != NULL && l->step == LINK_UP;
}
