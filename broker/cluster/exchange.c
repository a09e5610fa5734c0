/* Between the shards of a seat and those of other nodes: the seat's mesh, and who leads what. A node by itself has no mesh. */
#include <stdlib.h>

#include "base/assert.h"
#include "cluster/internal.h"

static struct loop *loop_of(void *ctx, uint16_t shard)
{
    return &node_seat_of(ctx, shard)->loop;
}

static void on_frame(void *ctx, uint64_t from, uint16_t shard, struct blob *frame)
{
    struct node *n = ctx;
    shard_receive(n->shards[shard], from, frame);
}

static void on_unreachable(void *ctx, struct mesh *m, uint64_t to)
{
    (void)ctx;
    struct seat_inside *in = CONTAINER_OF(m, struct seat_inside, mesh);
    for (size_t i = 0; i < in->place_count; i++)
        shard_unreachable(in->places[i].shard, to);
}

static void on_clients(void *ctx, struct mesh *m, uint64_t from, struct stream *stream, struct bytes rest)
{
    (void)from;
    struct node *n = ctx;
    struct seat *seat = CONTAINER_OF(m, struct seat_inside, mesh)->env.ctx;
    if (n->options.hooks.clients != NULL)
        n->options.hooks.clients(n->options.hooks.ctx, seat, stream, rest);
}

int exchange_prepare(struct node *n, struct error *e)
{
    const struct node_options *o = &n->options;
    const struct roster_options roster = {.data = o->data,
                                          .birth = &n->birth,
                                          .peers = o->peers,
                                          .listen = o->listen_peer,
                                          .clients = o->clients,
                                          .instance = node_random()};
    int rc = roster_create(&roster, &n->roster, e);
    if (rc == ERR_OK && o->peer_tls.certificate != NULL)
        rc = tls_context_create(&o->peer_tls, &n->tls, e);
    if (rc != ERR_OK)
        return rc;
    n->mesh_ops = (struct mesh_ops){
        .ctx = n, .loop_of = loop_of, .frame = on_frame, .clients = on_clients, .unreachable = on_unreachable};
    n->has_mesh = o->listen_peer != NULL && o->listen_peer[0] != '\0';
    if (!n->has_mesh && n->birth.founders.count != 1)
        return error_field(e, ERR_INVALID, "peers", "%s belongs to a cluster of several nodes: name them with --peers",
                           o->data);
    return ERR_OK;
}

void exchange_end(struct node *n)
{
    roster_destroy(n->roster);
    tls_context_destroy(n->tls);
}

int exchange_open(struct seat *seat, struct error *e)
{
    struct node *n = seat->node;
    struct seat_inside *in = seat->inside;
    const struct mesh_options o = {.loop = &seat->loop,
                                   .roster = n->roster,
                                   .tls = n->tls,
                                   .listen = n->options.listen_peer,
                                   .share = n->options.loops > 1,
                                   .seed = node_random(),
                                   .trace = n->options.trace,
                                   .ops = &n->mesh_ops};
    in->mesh_closed = !n->has_mesh;
    if (!n->has_mesh)
        return ERR_OK;
    int rc = o.share && seat->number == 0 ? listener_probe(o.listen, e) : ERR_OK;
    if (rc == ERR_OK)
        rc = mesh_open(&in->mesh, &o, e);
    return rc == ERR_OK ? rc : error_wrap(e, "--listen-peer");
}

int exchange_start(struct seat *seat, struct error *e)
{
    return seat->node->has_mesh ? mesh_start(&seat->inside->mesh, e) : ERR_OK;
}

static void on_mesh_closed(struct mesh *m)
{
    CONTAINER_OF(m, struct seat_inside, mesh)->mesh_closed = true;
}

void exchange_close(struct seat *seat)
{
    if (seat->node->has_mesh)
        mesh_close(&seat->inside->mesh, on_mesh_closed);
}

void exchange_send(void *ctx, struct shard *s, uint64_t node, uint16_t shard, struct bytes head,
                   const struct shard_part *parts, size_t count)
{
    (void)s;
    struct seat *seat = ctx;
    struct mesh_frame f;
    size_t len = head.len;
    if (seat->inside->mesh_closed)
        return;
    for (size_t i = 0; i < count; i++)
        len += parts[i].data.len;
    struct buffer *to = mesh_begin(&seat->inside->mesh, &f, node, shard, len);
    if (to == NULL)
        return;
    buffer_put(to, head.data, head.len);
    for (size_t i = 0; i < count; i++)
        buffer_put(to, parts[i].data.data, parts[i].data.len);
    mesh_end(&f);
}

bool node_has_peers(const struct node *n)
{
    return n->has_mesh;
}

bool node_call(struct seat *seat, struct call *c, uint64_t node, const struct call_ops *ops)
{
    struct mesh *m = &seat->inside->mesh;
    const struct roster_peer *peer = seat->inside->mesh_closed ? NULL : mesh_peer(m, node);
    if (peer != NULL)
        call_start(c, m, peer, HELLO_CLIENTS, 0, ops);
    return peer != NULL;
}

/* ---------------------------------------------------------------- who leads what */

uint64_t exchange_leader(void *ctx, uint16_t number)
{
    struct seat *seat = ctx;
    return node_leader(seat->node, number);
}

uint64_t node_leader(const struct node *n, uint16_t shard)
{
    ASSERT(shard <= n->birth.shards);
    return atomic_load_explicit(&n->leaders[shard], memory_order_relaxed);
}

void node_clients_of(struct node *n, uint64_t node, char out[NODE_ADDRESS_MAX])
{
    _Static_assert((int)NODE_ADDRESS_MAX == (int)HELLO_ADDRESS_MAX, "one text");
    roster_clients(n->roster, node, out);
}

static int by_node(const void *a, const void *b)
{
    const struct roster_peer *x = a, *y = b;
    return x->node < y->node ? -1 : x->node > y->node;
}

size_t node_members(struct node *n, struct node_member out[MEMBERSHIP_NODES_MAX])
{
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    uint64_t self = n->birth.node;
    const char *own = n->options.clients != NULL ? n->options.clients : "";
    size_t count = n->has_mesh ? roster_nodes(n->roster, peers) : 0;
    if (count > 0)
        qsort(peers, count, sizeof peers[0], by_node);
    for (size_t i = 0; i < count; i++) {
        struct node_member *m = &out[i];
        *m = (struct node_member){.node = peers[i].node};
        roster_address(&peers[i], m->peer);
        roster_clients(n->roster, m->node, m->clients);
        if (m->node == self)
            snprintf(m->clients, sizeof m->clients, "%s", own);
        placing_label(n, m);
    }
    if (count == 0)
        out[count++] = (struct node_member){.node = self};
    return count;
}
