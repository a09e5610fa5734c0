#include "state/nodes.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "proto/command.pb-c.h"
#include "state/entry.h"
#include "state/keys.h"

enum { VERSION = 1 };

struct nodes {
    uint16_t shards;
    uint32_t replicas;
    uint64_t version;
    struct node_view all[MEMBERSHIP_NODES_MAX]; /* their texts are its own */
    size_t count;
    struct placement *placements;
};

static char *text_copy(const char *text)
{
    return memory_string(text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

static void text_replace(const char **at, const char *text)
{
    char *copy = text_copy(text);
    memory_free((char *)(uintptr_t)*at);
    *at = copy;
}

static void forget(struct node_view *v)
{
    memory_free((char *)(uintptr_t)v->address);
    memory_free((char *)(uintptr_t)v->zone);
}

static struct node_view *find(struct nodes *n, uint64_t id)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->all[i].id == id)
            return &n->all[i];
    return NULL;
}

static void insert(struct nodes *n, const Hato__Log__Node *from, uint64_t since)
{
    ASSERT(n->count < MEMBERSHIP_NODES_MAX);
    size_t at = n->count++;
    for (; at > 0 && n->all[at - 1].id > from->id; at--)
        n->all[at] = n->all[at - 1];
    n->all[at] = (struct node_view){.id = from->id,
                                    .address = text_copy(from->address),
                                    .zone = text_copy(from->zone),
                                    .leaves = from->leaves,
                                    .since = since};
}

static struct placement_nodes for_planning(const struct nodes *n, struct placement_node all[MEMBERSHIP_NODES_MAX])
{
    for (size_t i = 0; i < n->count; i++)
        all[i] = (struct placement_node){.id = n->all[i].id, .zone = n->all[i].zone, .leaves = n->all[i].leaves};
    return (struct placement_nodes){.all = all, .count = n->count, .replicas = n->replicas};
}

static void plan(struct nodes *n)
{
    struct placement_node all[MEMBERSHIP_NODES_MAX];
    const struct placement_nodes nodes = for_planning(n, all);
    placement_plan(&nodes, n->placements, n->shards);
}

/* ---------------------------------------------------------------- the record */

static void fill(const struct nodes *n, Hato__Log__NodesRecord *r, Hato__Log__Node *nodes,
                 Hato__Log__NodesRecord__Shard *shards)
{
    for (size_t i = 0; i < n->count; i++) {
        hato__log__node__init(&nodes[i]);
        nodes[i].has_id = nodes[i].has_leaves = nodes[i].has_since = true;
        nodes[i].id = n->all[i].id;
        nodes[i].leaves = n->all[i].leaves;
        nodes[i].since = n->all[i].since;
        nodes[i].address = (char *)(uintptr_t)n->all[i].address;
        nodes[i].zone = (char *)(uintptr_t)n->all[i].zone;
        r->nodes[i] = &nodes[i];
    }
    for (size_t i = 0; i <= n->shards; i++) {
        struct placement *p = &n->placements[i];
        hato__log__nodes_record__shard__init(&shards[i]);
        shards[i].n_voters = p->voters.count;
        shards[i].voters = p->voters.ids;
        shards[i].has_pinned = p->pinned != 0;
        shards[i].pinned = p->pinned;
        r->shards[i] = &shards[i];
    }
}

static void write_all(const struct nodes *n, struct keys *ks)
{
    struct key k = key_of(ks->shard, KEY_NODES);
    Hato__Log__NodesRecord r = HATO__LOG__NODES_RECORD__INIT;
    Hato__Log__Node nodes[MEMBERSHIP_NODES_MAX], *node_list[MEMBERSHIP_NODES_MAX];
    Hato__Log__NodesRecord__Shard *shards = memory_zero(n->shards + 1u, sizeof *shards);
    r.has_version = r.has_replicas = true;
    r.version = n->version;
    r.replicas = n->replicas;
    r.n_nodes = n->count;
    r.nodes = node_list;
    r.n_shards = n->shards + 1u;
    r.shards = memory_zero(n->shards + 1u, sizeof *r.shards);
    fill(n, &r, nodes, shards);
    struct buffer *v = keys_begin(ks, VERSION);
    size_t len = hato__log__nodes_record__get_packed_size(&r);
    v->len += hato__log__nodes_record__pack(&r, buffer_reserve(v, len));
    keys_put(ks, &k);
    memory_free(r.shards);
    memory_free(shards);
}

static bool take_record(struct nodes *n, const Hato__Log__NodesRecord *r)
{
    if (r->n_nodes == 0 || r->n_nodes > MEMBERSHIP_NODES_MAX || r->n_shards != n->shards + 1u || r->replicas == 0 ||
        r->replicas > PLACEMENT_REPLICAS_MAX)
        return false;
    n->version = r->version;
    n->replicas = r->replicas;
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (r->nodes[i]->id == 0 || find(n, r->nodes[i]->id) != NULL)
            return false;
        insert(n, r->nodes[i], r->nodes[i]->since);
    }
    for (size_t i = 0; i < r->n_shards; i++) {
        const Hato__Log__NodesRecord__Shard *s = r->shards[i];
        n->placements[i].pinned = s->pinned;
        for (size_t k = 0; k < s->n_voters; k++)
            if (find(n, s->voters[k]) == NULL || !membership_add(&n->placements[i].voters, s->voters[k]))
                return false;
        if (s->n_voters == 0)
            return false;
    }
    struct placement_node all[MEMBERSHIP_NODES_MAX];
    const struct placement_nodes nodes = for_planning(n, all);
    placement_derive(&nodes, n->placements, n->shards);
    return true;
}

static int load(struct nodes *n, struct keys *ks, struct error *e)
{
    struct key k = key_of(ks->shard, KEY_NODES);
    struct cursor at;
    int code = keys_get(ks, &k, VERSION, &at, e);
    if (code != ERR_OK)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    Hato__Log__NodesRecord *r = hato__log__nodes_record__unpack(NULL, cursor_left(&at), at.at);
    bool fine = r != NULL && take_record(n, r);
    if (r != NULL)
        hato__log__nodes_record__free_unpacked(r, NULL);
    if (!fine)
        return value_corrupt(key_view(&k), "the nodes in it can't be", e);
    return ERR_OK;
}

int nodes_open(struct keys *ks, uint16_t shards, struct nodes **out, struct error *e)
{
    struct nodes *n = memory_zero(1, sizeof *n);
    n->shards = shards;
    n->placements = memory_zero(shards + 1u, sizeof *n->placements);
    int code = load(n, ks, e);
    if (code != ERR_OK)
        nodes_close(n);
    else
        *out = n;
    return code;
}

void nodes_close(struct nodes *n)
{
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->count; i++)
        forget(&n->all[i]);
    memory_free(n->placements);
    memory_free(n);
}

bool nodes_look(const struct nodes *n, struct nodes_view *out)
{
    *out = (struct nodes_view){
        .nodes = n->all, .count = n->count, .shards = n->placements, .replicas = n->replicas, .version = n->version};
    return n->count > 0;
}

/* ---------------------------------------------------------------- commands */

static int malformed(struct error *e)
{
    return error_set(e, ERR_INVALID, "the command about nodes can't be read");
}

static int not_there(uint64_t id, struct error *e)
{
    return error_field(e, ERR_NOT_FOUND, "node", "there is no node %" PRIu64 " (hato cluster status lists them)", id);
}

static int check_address(const struct nodes *n, uint64_t id, const char *address, struct error *e)
{
    size_t len = address != NULL ? strlen(address) : 0;
    if (len == 0 || len >= NODES_ADDRESS_MAX)
        return error_field(e, ERR_INVALID, "address", "a node's address is HOST:PORT of at most %d characters",
                           NODES_ADDRESS_MAX - 1);
    for (size_t i = 0; i < n->count; i++)
        if (n->all[i].id != id && strcmp(n->all[i].address, address) == 0)
            return error_field(e, ERR_EXISTS, "address", "node %" PRIu64 " has the address %s", n->all[i].id, address);
    return ERR_OK;
}

static int check_zone(const char *zone, struct error *e)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (zone == NULL || (strlen(zone) <= NODES_ZONE_MAX && strspn(zone, allowed) == strlen(zone)))
        return ERR_OK;
    return error_field(e, ERR_INVALID, "zone", "a zone has at most %d characters of letters, digits and . _ -",
                       NODES_ZONE_MAX);
}

static int check_node(const struct nodes *n, const Hato__Log__Node *node, struct error *e)
{
    if (node == NULL || node->id == 0 || node->id > UINT32_MAX)
        return error_field(e, ERR_INVALID, "node", "a node's id is a number from 1 to %" PRIu32, UINT32_MAX);
    int code = check_address(n, node->id, node->address, e);
    return code == ERR_OK ? check_zone(node->zone, e) : code;
}

/* The groups are those of the founders: all of them vote. What is to be otherwise is planned from there. */
static int found(struct nodes *n, struct bytes payload, bool *changed, struct error *e)
{
    Hato__Log__NodesFound *m = hato__log__nodes_found__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    int code = m->n_nodes > MEMBERSHIP_NODES_MAX ? malformed(e) : ERR_OK;
    bool first = n->count == 0;
    for (size_t i = 0; i < m->n_nodes && first && code == ERR_OK; i++) {
        code = find(n, m->nodes[i]->id) != NULL ? malformed(e) : check_node(n, m->nodes[i], e);
        if (code == ERR_OK)
            insert(n, m->nodes[i], 0);
    }
    for (size_t i = 0; first && code != ERR_OK && i < n->count; i++)
        forget(&n->all[i]);
    if (first && code != ERR_OK)
        n->count = 0;
    *changed = first && n->count > 0;
    if (*changed) /* who founded it with five wants to survive the loss of two */
        n->replicas = n->count < PLACEMENT_REPLICAS + 2 ? PLACEMENT_REPLICAS : PLACEMENT_REPLICAS + 2;
    for (size_t i = 0; *changed && i <= n->shards; i++)
        for (size_t k = 0; k < n->count; k++)
            membership_add(&n->placements[i].voters, n->all[k].id);
    hato__log__nodes_found__free_unpacked(m, NULL);
    return code;
}

static int add(struct nodes *n, struct bytes payload, uint64_t index, bool *changed, struct error *e)
{
    Hato__Log__NodeAdd *m = hato__log__node_add__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    int code = check_node(n, m->node, e);
    const struct node_view *there = code == ERR_OK ? find(n, m->node->id) : NULL;
    if (code == ERR_OK && n->count == 0)
        code = error_set(e, ERR_CONFLICT, "the nodes are not known yet; retry");
    else if (code == ERR_OK && there != NULL && strcmp(there->address, m->node->address) != 0)
        code =
            error_field(e, ERR_EXISTS, "node", "node %" PRIu64 " is there already, at %s", there->id, there->address);
    else if (code == ERR_OK && there == NULL && n->count == MEMBERSHIP_NODES_MAX)
        code = error_field(e, ERR_LIMIT, "node", "a cluster has at most %d nodes", MEMBERSHIP_NODES_MAX);
    *changed = code == ERR_OK && there == NULL;
    if (*changed)
        insert(n, m->node, index);
    hato__log__node_add__free_unpacked(m, NULL);
    return code;
}

/* A shard must not lose replicas by the way. */
static int check_leaving(struct nodes *n, const struct node_view *who, bool fewer, struct error *e)
{
    size_t staying = 0;
    for (size_t i = 0; i < n->count; i++)
        staying += !n->all[i].leaves && &n->all[i] != who;
    if (staying == 0)
        return error_field(e, ERR_CONFLICT, "node", "node %" PRIu64 " is the last one that has shards", who->id);
    if (staying >= n->replicas || fewer)
        return ERR_OK;
    return error_field(e, ERR_CONFLICT, "node",
                       "without node %" PRIu64
                       " shards have %zu replicas instead of %d: add another node first, or say "
                       "--fewer-replicas",
                       who->id, staying, PLACEMENT_REPLICAS);
}

static int set_one(struct nodes *n, const Hato__Log__NodeSet *m, bool *changed, struct error *e)
{
    struct node_view *v = find(n, m->id);
    if (v == NULL)
        return not_there(m->id, e);
    int code = m->address != NULL ? check_address(n, m->id, m->address, e) : ERR_OK;
    if (code == ERR_OK)
        code = check_zone(m->zone, e);
    if (code == ERR_OK && m->has_leaves && m->leaves && !v->leaves)
        code = check_leaving(n, v, m->fewer, e);
    if (code != ERR_OK)
        return code;
    *changed = true;
    if (m->address != NULL)
        text_replace(&v->address, m->address);
    if (m->zone != NULL)
        text_replace(&v->zone, m->zone);
    if (m->has_leaves)
        v->leaves = m->leaves;
    return ERR_OK;
}

static int set(struct nodes *n, struct bytes payload, bool *changed, struct error *e)
{
    Hato__Log__NodeSet *m = hato__log__node_set__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    int code = set_one(n, m, changed, e);
    hato__log__node_set__free_unpacked(m, NULL);
    return code;
}

static int remove_node(struct nodes *n, struct bytes payload, bool *changed, struct error *e)
{
    Hato__Log__NodeRemove *m = hato__log__node_remove__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    uint64_t id = m->id;
    hato__log__node_remove__free_unpacked(m, NULL);
    struct node_view *v = find(n, id);
    if (v == NULL)
        return not_there(id, e);
    if (!v->leaves)
        return error_field(e, ERR_CONFLICT, "node", "node %" PRIu64 " has shards: drain it first", id);
    forget(v);
    n->count--;
    memmove(v, v + 1, (size_t)(n->all + n->count - v) * sizeof *v);
    *changed = true;
    return ERR_OK;
}

static int lead(struct nodes *n, struct bytes payload, bool *changed, struct error *e)
{
    Hato__Log__ShardLead *m = hato__log__shard_lead__unpack(NULL, payload.len, payload.data);
    if (m == NULL)
        return malformed(e);
    uint32_t shard = m->shard;
    uint64_t node = m->node;
    hato__log__shard_lead__free_unpacked(m, NULL);
    if (n->count == 0)
        return error_set(e, ERR_CONFLICT, "the nodes are not known yet; retry");
    if (shard > n->shards)
        return error_field(e, ERR_NOT_FOUND, "shard", "there is no shard %" PRIu32 ", the last is %u", shard,
                           n->shards);
    if (node != 0 && !membership_has(&n->placements[shard].voters, node))
        return error_field(e, ERR_CONFLICT, "node", "node %" PRIu64 " has no vote in shard %" PRIu32, node, shard);
    *changed = n->placements[shard].pinned != node;
    n->placements[shard].pinned = node;
    return ERR_OK;
}

static int apply(struct nodes *n, uint8_t kind, struct bytes payload, uint64_t index, bool *changed, struct error *e)
{
    switch (kind) {
    case COMMAND_NODES_FOUND:
        return found(n, payload, changed, e);
    case COMMAND_NODE_ADD:
        return add(n, payload, index, changed, e);
    case COMMAND_NODE_SET:
        return set(n, payload, changed, e);
    case COMMAND_NODE_REMOVE:
        return remove_node(n, payload, changed, e);
    case COMMAND_SHARD_LEAD:
        return lead(n, payload, changed, e);
    default:
        UNREACHABLE();
    }
}

int nodes_apply(struct nodes *n, struct keys *ks, uint8_t kind, struct bytes payload, uint64_t index, bool *changed,
                struct error *e)
{
    *changed = false;
    int code = apply(n, kind, payload, index, changed, e);
    if (*changed) {
        n->version = index;
        plan(n);
        write_all(n, ks);
    }
    return code;
}
