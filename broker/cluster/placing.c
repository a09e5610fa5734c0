/* What the catalog says of nodes and of who has which shard: told to the roster and to every seat, at the start and whenever it changes.
 * Where nobody has changed anything yet, who leads the catalog writes down the nodes that there are, so that it can be. */
#include "base/assert.h"
#include "base/memory.h"
#include "cluster/internal.h"
#include "proto/command.pb-c.h"

/* ---------------------------------------------------------------- the map */

/* On seat 0's thread, or before there are threads. */
static bool take(struct node *n, struct error *e)
{
    struct nodes_view v;
    if (n->shards[0] == NULL || !machine_nodes(shard_machine(n->shards[0]), &v))
        return false;
    pthread_mutex_lock(&n->map.mutex);
    n->map.known = true;
    n->map.version = v.version;
    n->map.replicas = v.replicas;
    n->map.count = v.count;
    for (size_t i = 0; i < v.count; i++) {
        n->map.nodes[i] =
            (struct node_label){.node = v.nodes[i].id, .leaves = v.nodes[i].leaves, .since = v.nodes[i].since};
        snprintf(n->map.nodes[i].zone, sizeof n->map.nodes[i].zone, "%s", v.nodes[i].zone);
    }
    memcpy(n->map.shards, v.shards, (n->birth.shards + 1u) * sizeof v.shards[0]);
    pthread_mutex_unlock(&n->map.mutex);
    return n->has_mesh && roster_update(n->roster, &v, e) == ERR_OK;
}

bool node_placement(struct node *n, uint16_t shard, struct placement *out)
{
    ASSERT(shard <= n->birth.shards);
    pthread_mutex_lock(&n->map.mutex);
    bool known = n->map.known;
    if (known) {
        *out = n->map.shards[shard];
        out->version = n->map.version;
    }
    pthread_mutex_unlock(&n->map.mutex);
    return known;
}

uint64_t node_nodes_version(struct node *n, uint32_t *replicas)
{
    pthread_mutex_lock(&n->map.mutex);
    uint64_t version = n->map.version;
    *replicas = n->map.replicas;
    pthread_mutex_unlock(&n->map.mutex);
    return version;
}

void placing_label(struct node *n, struct node_member *m)
{
    pthread_mutex_lock(&n->map.mutex);
    for (size_t i = 0; i < n->map.count; i++)
        if (n->map.nodes[i].node == m->node) {
            m->leaves = n->map.nodes[i].leaves;
            m->since = n->map.nodes[i].since;
            memcpy(m->zone, n->map.nodes[i].zone, sizeof m->zone);
        }
    pthread_mutex_unlock(&n->map.mutex);
}

/* ---------------------------------------------------------------- telling */

void placing_tell(struct seat *seat)
{
    struct seat_inside *in = seat->inside;
    struct placement p;
    if (!in->mesh_closed)
        mesh_update(&in->mesh);
    for (size_t i = 0; i < in->place_count; i++) {
        struct shard *s = in->places[i].shard;
        if (!node_placement(seat->node, shard_number(s), &p))
            return;
        shard_place(s, &p);
        shard_prefer(s, p.lead);
    }
}

static void on_told(struct mail *mail)
{
    struct seat_inside *in = CONTAINER_OF(mail, struct seat_inside, placed);
    atomic_store(&in->placing, false);
    if (in->step == SEAT_RUNS)
        placing_tell(in->env.ctx);
}

void placing_changed(struct node *n)
{
    struct error e = {0};
    if (!take(n, &e) && e.code != ERR_OK) {
        node_fail(n, &e);
        return;
    }
    for (unsigned i = 0; i < n->seat_count; i++) {
        struct seat_inside *in = n->seats[i].inside;
        in->placed.run = on_told;
        if (!atomic_exchange(&in->placing, true))
            loop_post(&n->seats[i].loop, &in->placed);
    }
}

int placing_start(struct node *n, struct error *e)
{
    struct error why = {0};
    if (!take(n, &why) && why.code != ERR_OK) {
        *e = why;
        return (int)why.code;
    }
    if (n->map.known && n->map.count > 1 && !n->has_mesh)
        return error_field(e, ERR_INVALID, "listen-peer", "%s belongs to a cluster of %zu nodes: say --listen-peer",
                           n->options.data, n->map.count);
    for (unsigned i = 0; i < n->seat_count; i++)
        placing_tell(&n->seats[i]);
    return ERR_OK;
}

/* ---------------------------------------------------------------- the first nodes */

static void on_found(struct command *c, const struct reply *reply)
{
    struct node *n = CONTAINER_OF(c, struct node, founding);
    n->founds = false;
    if (reply->code != ERR_OK)
        TRACE(n->options.trace, TRACE_WARN, "the nodes could not be written down, will try again",
              trace_text("error", reply->message));
}

void placing_found(struct node *n)
{
    struct nodes_view v;
    struct shard *s = n->shards[0];
    if (!n->has_mesh || n->founds || !shard_leads(s) || machine_nodes(shard_machine(s), &v))
        return;
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    char addresses[MEMBERSHIP_NODES_MAX][HELLO_ADDRESS_MAX];
    Hato__Log__Node nodes[MEMBERSHIP_NODES_MAX], *list[MEMBERSHIP_NODES_MAX];
    Hato__Log__NodesFound m = HATO__LOG__NODES_FOUND__INIT;
    m.n_nodes = roster_nodes(n->roster, peers);
    m.nodes = list;
    for (size_t i = 0; i < m.n_nodes; i++) {
        roster_address(&peers[i], addresses[i]);
        hato__log__node__init(&nodes[i]);
        nodes[i].has_id = true;
        nodes[i].id = peers[i].node;
        nodes[i].address = addresses[i];
        list[i] = &nodes[i];
    }
    size_t len = hato__log__nodes_found__get_packed_size(&m);
    uint8_t *payload = memory_alloc(len);
    hato__log__nodes_found__pack(&m, payload);
    n->founding.done = on_found;
    n->founds = shard_command(s, &n->founding, COMMAND_NODES_FOUND, bytes_of(payload, len), NULL) == ERR_OK;
    memory_free(payload);
}
