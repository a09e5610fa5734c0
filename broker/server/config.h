/* The broker's settings: defaults, then the file named by --config, then HATO_* of the environment, then flags; the later
 * wins. All names are one table: a flag `--log-window` is `log-window` in the file and HATO_LOG_WINDOW in the environment. */
#ifndef HATO_SERVER_CONFIG_H
#define HATO_SERVER_CONFIG_H

#include <stdio.h>

#include "base/trace.h"
#include "dispatch/address.h"
#include "server/server.h"

struct config {
    char *data, *listen, *http, *account, *region, *endpoint_ca, *allow_endpoints, *config;
    char *cluster, *join, *peers, *listen_peer, *advertise, *peer_cert, *peer_key, *peer_ca;
    uint64_t node, shards, loops;
    uint64_t log_window, log_segment, disk_reserve, cache, catch_up_rate;
    uint64_t drain_timeout; /* ms */
    enum trace_level log_level;
    enum trace_format log_format;
    bool insecure, allow_private;
    bool help, version;
};

void config_defaults(struct config *c);
void config_close(struct config *c);

/* Errors: ERR_INVALID naming the flag and what it takes. */
int config_load(struct config *c, int argc, char **argv, char **environment, struct error *e);

/* config_peers.c: settings that follow from --peers where they are not given. */
void config_settle_peers(struct config *c);
int config_check_peers(const struct config *c, struct error *e);

/* The addresses that functions may have. Errors: ERR_INVALID or ERR_LIMIT, naming the flag. */
int config_endpoints(const struct config *c, struct address_policy *out, struct error *e);

/* What must hold between settings: for instance credentials outside of loopback. */
int config_check(const struct config *c, struct error *e);

void config_help(FILE *out);

#endif
