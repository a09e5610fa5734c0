/* The settings of a node that has peers. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cluster/roster.h"
#include "net/stream.h"
#include "server/config.h"

/* This node's entry in --peers; false when it has none. */
static bool own_entry(const struct config *c, struct roster_peer *out)
{
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    uint32_t count;
    if (roster_parse(c->peers, peers, &count, NULL) != ERR_OK)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (peers[i].node == c->node) {
            *out = peers[i];
            return true;
        }
    }
    return false;
}

static void set_address(char **field, const char *host, unsigned port)
{
    char text[HELLO_ADDRESS_MAX];
    snprintf(text, sizeof text, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    memory_free(*field);
    *field = memory_string(text, strlen(text));
}

static bool on_all_addresses(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

void config_settle_peers(struct config *c)
{
    struct roster_peer own;
    char host[RESOLVE_HOST_MAX + 1];
    uint16_t port;
    if (!own_entry(c, &own) && resolve_split(c->listen_peer, own.host, &own.port, NULL) != ERR_OK)
        return;
    if (c->listen_peer[0] == '\0')
        set_address(&c->listen_peer, own.host, own.port);
    if (c->advertise[0] == '\0' && resolve_split(c->listen, host, &port, NULL) == ERR_OK)
        set_address(&c->advertise, on_all_addresses(host) ? own.host : host, port);
}

static int check_certificates(const struct config *c, struct error *e)
{
    static const char *const names[] = {"peer-cert", "peer-key", "peer-ca"};
    const char *const files[] = {c->peer_cert, c->peer_key, c->peer_ca};
    int given = 0;
    for (int i = 0; i < 3; i++)
        given += files[i][0] != '\0';
    for (int i = 0; i < 3 && given > 0 && given < 3; i++)
        if (files[i][0] == '\0')
            return error_field(e, ERR_INVALID, names[i],
                               "--%s is missing: --peer-cert, --peer-key and --peer-ca go together", names[i]);
    return ERR_OK;
}

static int check_listen(const struct config *c, struct error *e)
{
    bool loopback = false;
    if (address_is_loopback(c->listen_peer, &loopback, e) != ERR_OK)
        return error_wrap(e, "--listen-peer");
    if (loopback || c->insecure || c->peer_cert[0] != '\0')
        return ERR_OK;
    return error_field(e, ERR_INVALID, "listen-peer",
                       "--listen-peer %s can be reached from other machines and the nodes have no certificates: give "
                       "them --peer-cert, --peer-key and --peer-ca, or say --insecure if the network is trusted",
                       c->listen_peer);
}

static int check_text(const char *flag, const char *text, size_t most, const char *allowed, struct error *e)
{
    size_t len = strlen(text);
    if (len <= most && strspn(text, allowed) == len)
        return ERR_OK;
    return error_field(e, ERR_INVALID, flag, "--%s must have 1 to %zu characters of letters, digits and . _ -", flag,
                       most);
}

int config_check_peers(const struct config *c, struct error *e)
{
    struct roster_peer peers[MEMBERSHIP_NODES_MAX], own;
    uint32_t count = 0;
    char host[RESOLVE_HOST_MAX + 1];
    uint16_t port;
    int rc =
        check_text("cluster", c->cluster, 64, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", e);
    if (rc == ERR_OK)
        rc = roster_parse(c->peers, peers, &count, e);
    if (rc != ERR_OK)
        return rc == ERR_INVALID && strcmp(e->field, "peers") == 0 ? error_wrap(e, "--peers") : rc;
    if (c->advertise[0] != '\0' && resolve_split(c->advertise, host, &port, e) != ERR_OK)
        return error_wrap(e, "--advertise");
    rc = check_certificates(c, e);
    if (rc != ERR_OK)
        return rc;
    if (count > 0 && !own_entry(c, &own))
        return error_field(e, ERR_INVALID, "peers",
                           "--peers does not name this node, %llu (--node): list all nodes in it",
                           (unsigned long long)c->node);
    return c->listen_peer[0] != '\0' ? check_listen(c, e) : ERR_OK;
}
