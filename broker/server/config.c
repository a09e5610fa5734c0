#include "server/config.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/human.h"
#include "base/memory.h"
#include "log/log.h"
#include "net/crypto.h"
#include "net/stream.h"
#include "server/config_file.h"
#include "state/identity.h"

enum kind { TEXT, NUMBER, SIZE, DURATION, SWITCH, LEVEL, FORMAT };

struct setting {
    const char *name;
    enum kind kind;
    size_t at;
    uint64_t least, most; /* of a NUMBER, SIZE or DURATION (ms) */
    const char *argument;
    const char *help;
};

#define AT(member) offsetof(struct config, member)
#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define DAY_MS (UINT64_C(24) * 3600 * 1000)
#define DRAIN_MS (UINT64_C(8) * 1000) /* containers are commonly killed 10 s after they were asked to stop */

static const struct setting settings[] = {
    {"data", TEXT, AT(data), 0, 0, "DIR", "where everything is kept; made when missing (./data)"},
    {"listen", TEXT, AT(listen), 0, 0, "HOST:PORT", "native protocol (127.0.0.1:9325)"},
    {"http", TEXT, AT(http), 0, 0, "HOST:PORT", "health and metrics; \"\" for none (127.0.0.1:9324)"},
    {"account", TEXT, AT(account), 0, 0, "DIGITS", "account of clients that name none (000000000000)"},
    {"region", TEXT, AT(region), 0, 0, "NAME", "region of clients that name none (us-east-1)"},
    {"node", NUMBER, AT(node), 1, UINT32_MAX, "N", "this node's id (1)"},
    {"shards", NUMBER, AT(shards), 1, SHARDS_MAX, "N", "shards, fixed when the data directory is made (8)"},
    {"loops", NUMBER, AT(loops), 1, 64, "N", "threads that own connections and shards (1 for every 4 cores)"},
    {"log-window", SIZE, AT(log_window), 64 * MIB, 1024 * GIB, "SIZE", "log kept before bodies are spilled (1GiB)"},
    {"log-segment", SIZE, AT(log_segment), MIB, GIB, "SIZE",
     "size of a log file (64MiB, or a quarter of --log-window)"},
    {"disk-reserve", SIZE, AT(disk_reserve), 0, 1024 * GIB, "SIZE",
     "free disk below which sends are refused (256MiB, two of --log-segment at least)"},
    {"cache", SIZE, AT(cache), MIB, 1024 * GIB, "SIZE", "cache of the store (32MiB)"},
    {"catch-up-rate", SIZE, AT(catch_up_rate), 0, 1024 * GIB, "SIZE",
     "a second, of what this node takes when it was away for longer than the log lasts; 0: no limit (64MiB)"},
    {"log-level", LEVEL, AT(log_level), 0, 0, "LEVEL", "error, warn, info or debug (info)"},
    {"log-format", FORMAT, AT(log_format), 0, 0, "FORMAT", "logfmt or json (logfmt)"},
    {"insecure", SWITCH, AT(insecure), 0, 0, NULL, "serve other machines without credentials"},
    {"allow-private", SWITCH, AT(allow_private), 0, 0, NULL,
     "functions may be on private addresses (always so on loopback)"},
    {"allow-endpoints", TEXT, AT(allow_endpoints), 0, 0, "CIDR,...",
     "private addresses that functions may be on, e.g. 10.1.0.0/16,fd00::/8 (none)"},
    {"endpoint-ca", TEXT, AT(endpoint_ca), 0, 0, "FILE",
     "certificates (PEM) that functions over https may have, besides those the system trusts"},
    {"drain-timeout", DURATION, AT(drain_timeout), 0, DAY_MS, "TIME",
     "when stopping, how long to wait for functions to answer (8s)"},
    {"peers", TEXT, AT(peers), 0, 0, "N=HOST:PORT,...", "all nodes of the cluster, this one among them (none)"},
    {"join", TEXT, AT(join), 0, 0, "CLUSTER/...",
     "this node joins a cluster that there is: as 'hato cluster add' tells (none)"},
    {"listen-peer", TEXT, AT(listen_peer), 0, 0, "HOST:PORT",
     "for other nodes (this node's in --peers); a node by itself that others are to join needs it"},
    {"advertise", TEXT, AT(advertise), 0, 0, "HOST:PORT", "where clients reach this node (--listen)"},
    {"cluster", TEXT, AT(cluster), 0, 0, "NAME", "the cluster's name, fixed when its nodes are made (hato)"},
    {"peer-cert", TEXT, AT(peer_cert), 0, 0, "FILE", "this node's certificate (PEM), shown to other nodes"},
    {"peer-key", TEXT, AT(peer_key), 0, 0, "FILE", "its key"},
    {"peer-ca", TEXT, AT(peer_ca), 0, 0, "FILE", "authority of all nodes' certificates, and of no others"},
    {"config", TEXT, AT(config), 0, 0, "FILE", "an INI file with the names above"},
    {"help", SWITCH, AT(help), 0, 0, NULL, "this page"},
    {"version", SWITCH, AT(version), 0, 0, NULL, "the version"},
};
enum { SETTINGS = sizeof settings / sizeof settings[0], SEGMENTS_MIN = 4 /* in a window */ };

static void set_text(char **field, const char *value)
{
    memory_free(*field);
    *field = memory_string(value, strlen(value));
}

void config_defaults(struct config *c)
{
    *c = (struct config){.node = 1,
                         .log_window = LOG_WINDOW_BYTES_DEFAULT,
                         .catch_up_rate = 64 * MIB,
                         .disk_reserve = 256 * MIB,
                         .drain_timeout = DRAIN_MS,
                         .log_level = TRACE_INFO};
    c->log_format = TRACE_LOGFMT;
    set_text(&c->data, "./data");
    set_text(&c->listen, "127.0.0.1:9325");
    set_text(&c->http, "127.0.0.1:9324");
    set_text(&c->account, "000000000000");
    set_text(&c->region, "us-east-1");
    set_text(&c->allow_endpoints, "");
    set_text(&c->endpoint_ca, "");
    set_text(&c->config, "");
    char **const empty[] = {&c->cluster,   &c->join,      &c->peers,    &c->listen_peer,
                            &c->advertise, &c->peer_cert, &c->peer_key, &c->peer_ca};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        set_text(empty[i], "");
}

void config_close(struct config *c)
{
    for (int i = 0; i < SETTINGS; i++)
        if (settings[i].kind == TEXT)
            memory_free(*(char **)(void *)((char *)c + settings[i].at));
}

static const struct setting *find(const char *name, size_t len)
{
    for (int i = 0; i < SETTINGS; i++)
        if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
            return &settings[i];
    return NULL;
}

static char *limit_text(const struct setting *s, uint64_t v, char out[HUMAN_TEXT_MAX])
{
    if (s->kind == SIZE)
        return human_size_text(v, out);
    if (s->kind == DURATION)
        return human_duration_text(v, out);
    snprintf(out, HUMAN_TEXT_MAX, "%llu", (unsigned long long)v);
    return out;
}

static int parse_number(const struct setting *s, const char *value, uint64_t *out, struct error *e)
{
    char least[HUMAN_TEXT_MAX], most[HUMAN_TEXT_MAX];
    bool good = true;
    if (s->kind != NUMBER) {
        int rc = s->kind == SIZE ? human_size(value, out, e) : human_duration(value, out, e);
        if (rc != ERR_OK)
            return error_wrap(e, "--%s", s->name);
    } else {
        char *end;
        *out = strtoull(value, &end, 10); /* what is too large becomes the largest there is, above every limit here */
        good = *value >= '0' && *value <= '9' && *end == '\0';
    }
    if (good && *out >= s->least && *out <= s->most)
        return ERR_OK;
    return error_field(e, ERR_INVALID, s->name, "--%s takes %s%s to %s, not '%.60s'", s->name,
                       s->kind == NUMBER ? "a whole number, " : "", limit_text(s, s->least, least),
                       limit_text(s, s->most, most), value);
}

static int parse_switch(const struct setting *s, const char *value, bool *out, struct error *e)
{
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "1") == 0;
    bool no = strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "0") == 0;
    if (!yes && !no)
        return error_field(e, ERR_INVALID, s->name, "--%s takes true or false, not '%.60s'", s->name, value);
    *out = yes;
    return ERR_OK;
}

static int named(const struct setting *s, int rc, struct error *e)
{
    return rc == ERR_OK ? rc : error_wrap(e, "--%s", s->name);
}

static int set(struct config *c, const struct setting *s, const char *value, struct error *e)
{
    void *at = (char *)c + s->at;
    switch (s->kind) {
    case TEXT:
        set_text(at, value);
        return ERR_OK;
    case NUMBER:
    case SIZE:
    case DURATION:
        return parse_number(s, value, at, e);
    case SWITCH:
        return parse_switch(s, value, at, e);
    case LEVEL:
        return named(s, trace_level_parse(value, at, e), e);
    case FORMAT:
        return named(s, trace_format_parse(value, at, e), e);
    }
    return ERR_INTERNAL;
}

/* ---------------------------------------------------------------- the three sources */

static bool for_flags_alone(const struct setting *s)
{
    return s->at == AT(help) || s->at == AT(version);
}

struct reading {
    struct config *config;
    bool given[SETTINGS];
};

static int on_line(void *user, const char *name, const char *value, struct error *e)
{
    struct reading *r = user;
    const struct setting *s = find(name, strlen(name));
    if (s == NULL || for_flags_alone(s) || s->at == AT(config))
        return error_field(e, ERR_INVALID, name, "there is no setting '%.60s'; hatod --help lists them", name);
    if (r->given[s - settings])
        return error_field(e, ERR_INVALID, name, "'%s' is given twice", name);
    r->given[s - settings] = true;
    return set(r->config, s, value, e);
}

static int read_file(struct config *c, struct error *e)
{
    struct reading r = {.config = c};
    return config_file_read(c->config, on_line, &r, e);
}

/* The setting that HATO_... names; NULL: the variable is not the broker's, as HATO_SERVER. */
static const struct setting *find_variable(const char *variable, size_t len)
{
    char name[48];
    if (len < 5 || len > sizeof name || strncmp(variable, "HATO_", 5) != 0)
        return NULL;
    for (size_t i = 5; i < len; i++)
        name[i - 5] = variable[i] == '_' ? '-' : (char)tolower((unsigned char)variable[i]);
    const struct setting *s = find(name, len - 5);
    return s != NULL && !for_flags_alone(s) ? s : NULL;
}

static int read_environment(struct config *c, char **environment, bool only_config, struct error *e)
{
    for (char **v = environment; *v != NULL; v++) {
        size_t len = strcspn(*v, "=");
        const struct setting *s = find_variable(*v, len);
        if (s == NULL || (*v)[len] == '\0' || (only_config && s->at != AT(config)))
            continue;
        if (set(c, s, *v + len + 1, e) != ERR_OK)
            return error_wrap(e, "environment variable %.*s", (int)len, *v);
    }
    return ERR_OK;
}

static int read_flags(struct config *c, int argc, char **argv, bool only_config, struct error *e)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            return error_field(e, ERR_INVALID, argv[i], "'%s' is not a flag; hatod --help lists them", argv[i]);
        const char *name = argv[i] + 2;
        const char *equals = strchr(name, '=');
        size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
        const struct setting *s = find(name, len);
        if (s == NULL)
            return error_field(e, ERR_INVALID, argv[i], "there is no flag '%s'; hatod --help lists them", argv[i]);
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (value == NULL && s->kind == SWITCH)
            value = "true";
        if (value == NULL && ++i < argc)
            value = argv[i];
        if (value == NULL)
            return error_field(e, ERR_INVALID, s->name, "--%s needs a value: --%s %s", s->name, s->name, s->argument);
        if (only_config && !for_flags_alone(s) && s->at != AT(config))
            continue;
        int rc = set(c, s, value, e);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

int config_load(struct config *c, int argc, char **argv, char **environment, struct error *e)
{
    int rc = read_environment(c, environment, true, e);
    if (rc == ERR_OK)
        rc = read_flags(c, argc, argv, true, e);
    if (rc != ERR_OK || c->help || c->version)
        return rc; /* whoever asks for help may have settings that are wrong */
    if (c->config[0] != '\0')
        rc = read_file(c, e);
    if (rc == ERR_OK)
        rc = read_environment(c, environment, false, e);
    if (rc == ERR_OK)
        rc = read_flags(c, argc, argv, false, e);
    if (rc != ERR_OK)
        return rc;
    if (c->log_segment == 0)
        c->log_segment = c->log_window < SEGMENTS_MIN * (uint64_t)LOG_SEGMENT_BYTES_DEFAULT
                             ? (c->log_window / SEGMENTS_MIN) & ~(MIB - 1)
                             : LOG_SEGMENT_BYTES_DEFAULT;
    config_settle_peers(c);
    return ERR_OK;
}

static int check_exposure(const struct config *c, const char *flag, const char *address, struct error *e)
{
    bool loopback = false;
    int rc = address_is_loopback(address, &loopback, e);
    if (rc != ERR_OK)
        return error_wrap(e, "--%s", flag);
    if (loopback || c->insecure)
        return ERR_OK;
    return error_field(
        e, ERR_INVALID, flag,
        "--%s %s can be reached from other machines and there are no credentials: listen on 127.0.0.1, or say "
        "--insecure if the network is trusted",
        flag, address);
}

static int check_endpoint_ca(const struct config *c, struct error *e)
{
    if (c->endpoint_ca[0] == '\0' || crypto_check_certificates(c->endpoint_ca, e) == ERR_OK)
        return ERR_OK;
    return error_wrap(e, "--endpoint-ca");
}

int config_endpoints(const struct config *c, struct address_policy *out, struct error *e)
{
    bool loopback = false;
    address_is_loopback(c->listen, &loopback, NULL);
    *out = (struct address_policy){.allow_private = loopback || c->allow_private};
    const char *at = c->allow_endpoints;
    bool more = at[0] != '\0';
    int rc = ERR_OK;
    while (more && rc == ERR_OK) {
        size_t len = strcspn(at, ",");
        char *range = memory_string(at, len);
        rc = address_policy_allow(out, range, e);
        memory_free(range);
        more = at[len] != '\0';
        at += len + 1;
    }
    return rc == ERR_OK ? rc : error_wrap(e, "--allow-endpoints");
}

int config_check(const struct config *c, struct error *e)
{
    struct address_policy policy;
    int rc = identity_check_account(bytes_text(c->account), "account", e);
    if (rc != ERR_OK)
        return error_wrap(e, "--account");
    rc = identity_check_region(bytes_text(c->region), "region", e);
    if (rc != ERR_OK)
        return error_wrap(e, "--region");
    if (rc == ERR_OK)
        rc = check_exposure(c, "listen", c->listen, e);
    if (rc == ERR_OK && c->http[0] != '\0')
        rc = check_exposure(c, "http", c->http, e);
    if (rc == ERR_OK)
        rc = check_endpoint_ca(c, e);
    if (rc == ERR_OK)
        rc = config_endpoints(c, &policy, e);
    if (rc == ERR_OK)
        rc = config_check_peers(c, e);
    if (rc == ERR_OK && c->data[0] == '\0')
        rc = error_field(e, ERR_INVALID, "data", "--data must name a directory");
    if (rc == ERR_OK && c->log_window < SEGMENTS_MIN * c->log_segment)
        rc = error_field(e, ERR_INVALID, "log-window", "--log-window must be at least %d times --log-segment",
                         SEGMENTS_MIN);
    return rc;
}

void config_help(FILE *out)
{
    fputs("hatod: the Hato message broker\n\n"
          "usage: hatod [flags]\n\n"
          "  hatod --data ./data                 one node, everything embedded\n"
          "  hatod --data /var/lib/hato --log-format json\n"
          "  hatod --data d1 --node 1 --peers 1=10.0.0.1:9400,2=10.0.0.2:9400,3=10.0.0.3:9400 ...\n\n",
          out);
    for (int i = 0; i < SETTINGS; i++) {
        char flag[48];
        snprintf(flag, sizeof flag, "--%s%s%s", settings[i].name, settings[i].argument != NULL ? " " : "",
                 settings[i].argument != NULL ? settings[i].argument : "");
        fprintf(out, "  %-26s %s\n", flag, settings[i].help);
    }
    fputs("\nEvery flag can also be set in the file of --config (\"log-window = 2GiB\") and in the environment\n"
          "(HATO_LOG_WINDOW=2GiB); flags win over the environment, the environment over the file.\n\n"
          "exit codes: 0 stopped in order, 1 could not start or go on, 2 wrong usage\n",
          out);
}
