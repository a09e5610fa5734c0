#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "server/config.h"
#include "server/server.h"

enum { EXIT_USAGE = 2 };

/* SIGTERM and SIGINT stop in order; a second one at once. */
struct stopper {
    struct server *server;
    sigset_t signals;
    pthread_t thread;
    atomic_bool asked;
};

static void *wait_for_signal(void *arg)
{
    struct stopper *s = arg;
    int number, before;
    if (sigwait(&s->signals, &number) == 0) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        atomic_store(&s->asked, true);
        server_stop(s->server);
        pthread_setcancelstate(before, NULL);
    }
    if (sigwait(&s->signals, &number) == 0)
        _exit(EXIT_FAILURE);
    return NULL;
}

/* Whether the broker is to begin anew. A signal that comes from here on is the next one's, which inherits what is pending. */
static bool wants_anew(struct stopper *s)
{
    if (!server_wants_anew(s->server) || atomic_load(&s->asked))
        return false;
    pthread_cancel(s->thread);
    pthread_join(s->thread, NULL);
    return !atomic_load(&s->asked);
}

/* The same program in the same process: nothing of what was is left. */
static int begin_anew(char **argv)
{
    execv("/proc/self/exe", argv);
    fprintf(stderr, "hatod: cannot begin anew: %s; start it again\n", strerror(errno));
    return EXIT_FAILURE;
}

static unsigned default_loops(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned loops = cores > 4 ? (unsigned)cores / 4 : 1;
    return loops < 16 ? loops : 16;
}

static int serve(const struct config *c, struct trace *trace, struct stopper *stopper, struct error *e)
{
    struct server_options o = {
        .node = {.data = c->data,
                 .node = c->node,
                 .shards = (uint16_t)c->shards,
                 .loops = c->loops > 0 ? (unsigned)c->loops : default_loops(),
                 .segment_bytes = c->log_segment,
                 .window_bytes = c->log_window,
                 .disk_reserve = c->disk_reserve,
                 .cache_bytes = c->cache,
                 .catch_up_rate = c->catch_up_rate,
                 .cluster = c->cluster[0] != '\0' ? c->cluster : NULL,
                 .join = c->join,
                 .peers = c->peers,
                 .listen_peer = c->listen_peer,
                 .clients = c->advertise,
                 .trace = trace},
        .listen = c->listen,
        .http = c->http,
        .account = c->account,
        .region = c->region,
        .endpoint_ca = c->endpoint_ca,
        .drain_ms = c->drain_timeout,
    };
    int rc = config_endpoints(c, &o.endpoints, e);
    if (rc != ERR_OK)
        return rc;
    if (c->peer_cert[0] != '\0')
        o.node.peer_tls = (struct tls_files){.certificate = c->peer_cert, .key = c->peer_key, .ca = c->peer_ca};
    uint64_t files = files_raise();
    files_share_out(files, &o.connections);
    TRACE(trace, TRACE_INFO, "starting", trace_text("version", HATO_BROKER_VERSION), trace_text("data", c->data),
          trace_u64("loops", o.node.loops), trace_u64("open_files", files),
          trace_u64("connections_max", o.connections.native));
    rc = server_open(&o, &stopper->server, e);
    if (rc != ERR_OK)
        return rc;
    if (pthread_create(&stopper->thread, NULL, wait_for_signal, stopper) != 0)
        return error_set(e, ERR_IO, "cannot start a thread");
    rc = server_run(stopper->server, e);
    if (rc == ERR_OK)
        TRACE(trace, TRACE_INFO, "stopped");
    return rc;
}

/* Whether to serve; if not, *code is what to end with. */
static bool prepare(struct config *c, int argc, char **argv, int *code)
{
    struct error e = {0};
    int rc = config_load(c, argc, argv, environ, &e);
    *code = EXIT_SUCCESS;
    if (rc == ERR_OK && c->help) {
        config_help(stdout);
        return false;
    }
    if (rc == ERR_OK && c->version) {
        printf("hatod %s\n", HATO_BROKER_VERSION);
        return false;
    }
    if (rc == ERR_OK)
        rc = config_check(c, &e);
    if (rc == ERR_OK)
        return true;
    fprintf(stderr, "hatod: %s\n", e.message);
    *code = EXIT_USAGE;
    return false;
}

int main(int argc, char **argv)
{
    struct config config;
    struct error e = {0};
    int code;
    config_defaults(&config);
    if (!prepare(&config, argc, argv, &code)) {
        config_close(&config);
        return code;
    }
    prctl(PR_SET_NAME, "hatod"); /* one that begins anew was called "exe" until here: nobody would find it */
    static struct stopper stopper;
    sigemptyset(&stopper.signals);
    sigaddset(&stopper.signals, SIGTERM);
    sigaddset(&stopper.signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stopper.signals, NULL); /* inherited by every thread: one waits for them */
    signal(SIGPIPE, SIG_IGN);
    struct trace trace;
    struct trace_options lines = {
        .format = config.log_format, .level = config.log_level, .clock = clock_real(), .file = stderr};
    trace_open(&trace, &lines);
    int rc = serve(&config, &trace, &stopper, &e);
    if (rc != ERR_OK) {
        fprintf(stderr, "hatod: %s\n", e.message);
        fflush(stderr);
        _exit(EXIT_FAILURE); /* what could not be opened or has failed is not closed in order */
    }
    bool anew = wants_anew(&stopper);
    server_close(stopper.server);
    trace_close(&trace);
    config_close(&config);
    return anew ? begin_anew(argv) : EXIT_SUCCESS;
}
