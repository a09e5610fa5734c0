#include "cluster/roster.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cluster/slip.h"

enum { MET_FORMAT = 2, KNOWN_MAX = 2 * MEMBERSHIP_NODES_MAX }; /* 1: without addresses */
static const char file[] = "hato.peers";

struct known {
    struct roster_peer peer; /* port 0: no node of the cluster, or not any more */
    bool named;              /* in --peers, whose address counts */
    char birth[HELLO_ID];    /* "" before it was met */
    bool removed;            /* the catalog does not have it */
    uint64_t since;          /* of which the birth is; nodes.h */
    char clients[HELLO_ADDRESS_MAX];
    uint64_t instance; /* of the process whose connections are there */
    uint32_t connections;
};

struct roster {
    struct roster_options options;
    pthread_mutex_t mutex;
    struct known all[KNOWN_MAX];
    uint32_t count;
};

/* ---------------------------------------------------------------- --peers */

static int bad_peers(struct error *e, const char *part, size_t len)
{
    return error_field(e, ERR_INVALID, "peers", "'%.*s' is not of the form N=HOST:PORT, N a number from 1 to %" PRIu32,
                       (int)(len < 100 ? len : 100), part, UINT32_MAX);
}

static int parse_one(const char *part, size_t len, struct roster_peer *out, struct error *e)
{
    char text[HELLO_ADDRESS_MAX];
    char *end;
    if (len >= sizeof text)
        return bad_peers(e, part, len);
    memcpy(text, part, len);
    text[len] = '\0';
    unsigned long long node = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '=' || node == 0 || node > UINT32_MAX)
        return bad_peers(e, part, len);
    out->node = node;
    if (resolve_split(end + 1, out->host, &out->port, e) == ERR_OK)
        return ERR_OK;
    snprintf(e->field, sizeof e->field, "peers");
    return error_wrap(e, "node %llu", node);
}

static int compare_nodes(const void *a, const void *b)
{
    const struct roster_peer *x = a, *y = b;
    return x->node < y->node ? -1 : x->node > y->node;
}

int roster_parse(const char *peers, struct roster_peer out[MEMBERSHIP_NODES_MAX], uint32_t *count, struct error *e)
{
    struct error own = {0};
    e = e != NULL ? e : &own;
    *count = 0;
    while (peers != NULL && *peers != '\0') {
        size_t len = strcspn(peers, ",");
        if (*count == MEMBERSHIP_NODES_MAX)
            return error_field(e, ERR_INVALID, "peers", "there are more than %d nodes", MEMBERSHIP_NODES_MAX);
        int rc = parse_one(peers, len, &out[*count], e);
        if (rc != ERR_OK)
            return rc;
        ++*count;
        peers += len + (peers[len] == ',');
    }
    if (*count > 0)
        qsort(out, *count, sizeof out[0], compare_nodes);
    for (uint32_t i = 1; i < *count; i++)
        if (out[i].node == out[i - 1].node)
            return error_field(e, ERR_INVALID, "peers", "node %" PRIu64 " is named twice", out[i].node);
    return ERR_OK;
}

/* ---------------------------------------------------------------- who is known */

static struct known *find(struct roster *r, uint64_t node)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->all[i].peer.node == node)
            return &r->all[i];
    return NULL;
}

/* One more, in the place of one that is gone where there is no other; NULL: there is none. */
static struct known *find_or_make(struct roster *r, uint64_t node)
{
    struct known *k = find(r, node);
    if (k == NULL && r->count < KNOWN_MAX)
        k = &r->all[r->count++];
    for (uint32_t i = 0; i < r->count && k == NULL; i++)
        if (r->all[i].peer.port == 0 && r->all[i].connections == 0)
            k = &r->all[i];
    if (k != NULL && k->peer.node != node)
        *k = (struct known){.peer.node = node};
    return k;
}

void roster_address(const struct roster_peer *p, char out[HELLO_ADDRESS_MAX])
{
    snprintf(out, HELLO_ADDRESS_MAX, strchr(p->host, ':') != NULL ? "[%s]:%u" : "%s:%u", p->host, p->port);
}

static void set_address(struct known *k, const char *address)
{
    if (k != NULL && !k->named && resolve_split(address, k->peer.host, &k->peer.port, NULL) != ERR_OK)
        k->peer.port = 0;
}

/* "-" stands for what is not known. */
static void read_line(struct roster *r, uint64_t node, const char *birth, uint64_t since, const char *address)
{
    struct known *k = find_or_make(r, node);
    if (k == NULL)
        return;
    k->since = since;
    if (strlen(birth) == HELLO_ID - 1)
        memcpy(k->birth, birth, HELLO_ID);
    if (strcmp(address, "-") != 0)
        set_address(k, address);
}

static int read_known(struct roster *r, struct error *e)
{
    char text[SLIP_MAX];
    int rc = slip_read(r->options.data, file, text, e);
    if (rc != ERR_OK)
        return rc == ERR_NOT_FOUND ? ERR_OK : rc;
    unsigned format = 0;
    int at = 0;
    if (sscanf(text, "format=%u\n%n", &format, &at) != 1 || format < 1 || format > MET_FORMAT)
        return error_set(e, ERR_VERSION, "%s/%s has format %u, this build knows %d: use the build that made it",
                         r->options.data, file, format, MET_FORMAT);
    uint64_t node, since;
    char birth[HELLO_ID], address[HELLO_ADDRESS_MAX];
    const char *line = text + at;
    if (format == 1)
        for (; sscanf(line, "node=%" SCNu64 " birth=%32[0-9a-f]\n%n", &node, birth, &at) == 2; line += at)
            read_line(r, node, birth, 0, "-");
    else
        for (; sscanf(line, "node=%" SCNu64 " birth=%32[0-9a-f-] since=%" SCNu64 " address=%271[^\n]\n%n", &node, birth,
                      &since, address, &at) == 4;
             line += at)
            read_line(r, node, birth, since, address);
    return ERR_OK;
}

static int write_known(const struct roster *r, struct error *e)
{
    char address[HELLO_ADDRESS_MAX];
    struct buffer text = {0};
    buffer_printf(&text, "format=%d\n", MET_FORMAT);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct known *k = &r->all[i];
        roster_address(&k->peer, address);
        if (k->birth[0] != '\0' || k->peer.port != 0)
            buffer_printf(&text, "node=%" PRIu64 " birth=%s since=%" PRIu64 " address=%s\n", k->peer.node,
                          k->birth[0] != '\0' ? k->birth : "-", k->since, k->peer.port != 0 ? address : "-");
    }
    buffer_u8(&text, '\0');
    int rc = slip_write(r->options.data, file, (const char *)text.data, e);
    buffer_close(&text);
    return rc;
}

int roster_create(const struct roster_options *o, struct roster **out, struct error *e)
{
    struct roster *r = memory_zero(1, sizeof *r);
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    r->options = *o;
    pthread_mutex_init(&r->mutex, NULL);
    int rc = roster_parse(o->peers, peers, &r->count, e);
    for (uint32_t i = 0; rc == ERR_OK && i < r->count; i++)
        r->all[i] = (struct known){.peer = peers[i], .named = true};
    if (rc == ERR_OK)
        rc = read_known(r, e);
    if (rc == ERR_OK && o->listen != NULL && o->listen[0] != '\0')
        set_address(find_or_make(r, o->birth->node), o->listen);
    if (rc != ERR_OK) {
        roster_destroy(r);
        return rc;
    }
    *out = r;
    return ERR_OK;
}

void roster_destroy(struct roster *r)
{
    if (r == NULL)
        return;
    pthread_mutex_destroy(&r->mutex);
    memory_free(r);
}

/* ---------------------------------------------------------------- the nodes */

size_t roster_nodes(struct roster *r, struct roster_peer out[MEMBERSHIP_NODES_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&r->mutex);
    for (uint32_t i = 0; i < r->count && count < MEMBERSHIP_NODES_MAX; i++)
        if (r->all[i].peer.port != 0)
            out[count++] = r->all[i].peer;
    pthread_mutex_unlock(&r->mutex);
    return count;
}

static bool is_in(const struct nodes_view *v, uint64_t node)
{
    for (size_t i = 0; i < v->count; i++)
        if (v->nodes[i].id == node)
            return true;
    return false;
}

/* Who was removed and added again is somebody else, whatever it had promised before. */
static void update_one(struct roster *r, const struct node_view *v)
{
    struct known *k = find_or_make(r, v->id);
    if (k == NULL)
        return;
    if (k->since < v->since) {
        k->since = v->since;
        k->birth[0] = '\0';
    }
    k->removed = false;
    set_address(k, v->address);
}

int roster_update(struct roster *r, const struct nodes_view *v, struct error *e)
{
    pthread_mutex_lock(&r->mutex);
    for (uint32_t i = 0; i < r->count; i++)
        if (!is_in(v, r->all[i].peer.node)) {
            r->all[i].peer.port = 0;
            r->all[i].named = false;
            r->all[i].removed = true;
        }
    for (size_t i = 0; i < v->count; i++)
        update_one(r, &v->nodes[i]);
    int rc = write_known(r, e);
    pthread_mutex_unlock(&r->mutex);
    return rc;
}

uint64_t roster_self(const struct roster *r)
{
    return r->options.birth->node;
}

uint16_t roster_shards(const struct roster *r)
{
    return r->options.birth->shards;
}

void roster_hello(const struct roster *r, uint64_t to, struct hello *out)
{
    const struct birth *b = r->options.birth;
    *out = (struct hello){.oldest = HELLO_OLDEST,
                          .newest = HELLO_NEWEST,
                          .node = b->node,
                          .to = to,
                          .instance = r->options.instance,
                          .since = b->since,
                          .shards = b->shards};
    memcpy(out->cluster, b->cluster, sizeof out->cluster);
    memcpy(out->birth, b->id, sizeof out->birth);
    snprintf(out->clients, sizeof out->clients, "%s", r->options.clients != NULL ? r->options.clients : "");
    snprintf(out->software, sizeof out->software, "hato/" HATO_BROKER_VERSION);
}

/* ---------------------------------------------------------------- judging */

static int judge_identity(const struct roster *r, const struct hello *h, uint64_t expected, struct error *e)
{
    const struct birth *b = r->options.birth;
    if (strcmp(h->cluster, b->cluster) != 0)
        return error_set(
            e, ERR_FORBIDDEN,
            "node %" PRIu64 " is of cluster %s, node %" PRIu64
            " of another: check --peers, and that --cluster and the founders in --peers are the same on all",
            h->node, h->cluster, b->node);
    if (h->node == b->node)
        return error_set(e, ERR_CONFLICT, "two nodes have the id %" PRIu64 ": give each a --node of its own", h->node);
    if (h->to != 0 && h->to != b->node)
        return error_set(e, ERR_FORBIDDEN,
                         "node %" PRIu64 " looks for node %" PRIu64 " and found node %" PRIu64
                         ": the addresses in its --peers are mixed up",
                         h->node, h->to, b->node);
    if (expected != 0 && h->node != expected)
        return error_set(e, ERR_FORBIDDEN,
                         "node %" PRIu64 " answers where node %" PRIu64
                         " should be: the addresses in --peers are mixed up",
                         h->node, expected);
    if (h->shards != b->shards)
        return error_set(e, ERR_CONFLICT,
                         "node %" PRIu64 " has %" PRIu32 " shards, node %" PRIu64
                         " has %u: make the data directory of one of them anew with the other's --shards",
                         h->node, h->shards, b->node, b->shards);
    return ERR_OK;
}

static int judge_birth(struct roster *r, const struct hello *h, struct error *e)
{
    struct known *k = find(r, h->node);
    if (k != NULL && (h->since < k->since || (k->removed && h->since == k->since)))
        return error_set(e, ERR_FORBIDDEN,
                         "node %" PRIu64
                         " was removed, or replaced by another one: to add it again start it on an empty "
                         "directory as hato cluster add or replace tells",
                         h->node);
    if (k == NULL || k->peer.port == 0)
        return error_set(e, ERR_FORBIDDEN,
                         "node %" PRIu64 " is not among those that node %" PRIu64
                         " knows: name it in --peers, or add it to the cluster (hato cluster add)",
                         h->node, roster_self(r));
    if (h->since > k->since) { /* this node was away meanwhile */
        k->since = h->since;
        k->birth[0] = '\0';
    }
    if (k->birth[0] == '\0') {
        memcpy(k->birth, h->birth, sizeof k->birth);
        int rc = write_known(r, e);
        if (rc != ERR_OK) {
            k->birth[0] = '\0';
            return rc;
        }
    } else if (strcmp(k->birth, h->birth) != 0) {
        return error_set(e, ERR_CONFLICT,
                         "node %" PRIu64 " has another data directory than when node %" PRIu64
                         " met it; what it had promised before is not in it: give it back the one it had (born %s), or "
                         "replace it (hato cluster replace)",
                         h->node, roster_self(r), k->birth);
    }
    memcpy(k->clients, h->clients, sizeof k->clients);
    return ERR_OK;
}

int roster_judge(struct roster *r, const struct hello *h, uint64_t expected, struct error *e)
{
    int rc = judge_identity(r, h, expected, e);
    if (rc != ERR_OK)
        return rc;
    pthread_mutex_lock(&r->mutex);
    rc = judge_birth(r, h, e);
    pthread_mutex_unlock(&r->mutex);
    return rc;
}

int roster_enter(struct roster *r, const struct hello *h, struct error *e)
{
    int rc = ERR_OK;
    pthread_mutex_lock(&r->mutex);
    struct known *k = find(r, h->node);
    if (k->connections > 0 && k->instance != h->instance) {
        rc = error_set(e, ERR_CONFLICT,
                       "another process is connected as node %" PRIu64
                       ": if it is an earlier one it is let go in some seconds, else two nodes have the same id",
                       h->node);
    } else {
        k->instance = h->instance;
        k->connections++;
    }
    pthread_mutex_unlock(&r->mutex);
    return rc;
}

void roster_leave(struct roster *r, uint64_t node)
{
    pthread_mutex_lock(&r->mutex);
    struct known *k = find(r, node);
    k->connections--;
    pthread_mutex_unlock(&r->mutex);
}

void roster_clients(struct roster *r, uint64_t node, char out[HELLO_ADDRESS_MAX])
{
    out[0] = '\0';
    pthread_mutex_lock(&r->mutex);
    struct known *k = find(r, node);
    if (k != NULL)
        memcpy(out, k->clients, sizeof k->clients);
    pthread_mutex_unlock(&r->mutex);
}
