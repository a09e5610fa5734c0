/* hato-limit: the server that hato-bench compares with. See server.h. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "bench/limit/server.h"

static const char help[] =
    "Usage: hato-limit [--listen ADDRESS:PORT] [--file PATH] [--no-fsync]\n"
    "\n"
    "The limit of durable sending on this machine: reads frames, appends them to one file of 256 MiB, which is used\n"
    "again when it is full, one fdatasync for all that arrived, acks. hato-bench measures the broker against it.\n"
    "\n"
    "  --listen ADDRESS:PORT  default 127.0.0.1:9326; port 0 takes a free one, which is printed\n"
    "  --file PATH            the file, made anew at start; default ./hato-limit.data\n"
    "  --no-fsync             leave the data to the kernel\n"
    "\n"
    "Example:\n"
    "  hato-limit --file /var/tmp/limit.data & hato-bench limit\n";

struct limit_options {
    const char *listen;
    const char *file;
    bool no_fsync;
};

static int options_parse(struct limit_options *o, int argc, char **argv)
{
    static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                          {"file", required_argument, NULL, 'f'},
                                          {"no-fsync", no_argument, NULL, 'n'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *o = (struct limit_options){.listen = "127.0.0.1:9326", .file = "hato-limit.data"};
    int c;
    while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (c == 'l')
            o->listen = optarg;
        else if (c == 'f')
            o->file = optarg;
        else if (c == 'n')
            o->no_fsync = true;
        else if (c == 'h')
            fputs(help, stdout), exit(0);
        else
            return fprintf(stderr, "Try hato-limit --help\n"), 2;
    }
    return optind == argc ? 0 : (fprintf(stderr, "hato-limit: \"%s\" is not understood\n", argv[optind]), 2);
}

static void main_stop(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

static void main_close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

int main(int argc, char **argv)
{
    struct limit_options o;
    int rc = options_parse(&o, argc, argv);
    if (rc != 0)
        return rc;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_t loop;
    uv_loop_init(&loop);
    uv_signal_t stops[2];
    static const int numbers[2] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&loop, &stops[i]);
        uv_signal_start(&stops[i], main_stop, numbers[i]);
    }
    struct server *s = memory_zero(1, sizeof(*s));
    struct error e = {0};
    rc = server_open(s, &loop, o.listen, o.file, SERVER_FILE_BYTES, !o.no_fsync, &e);
    if (rc == ERR_OK) {
        printf("listening on port %d\n", server_port(s));
        fflush(stdout);
        uv_run(&loop, UV_RUN_DEFAULT);
        server_close(s);
        printf("%llu bytes in %llu syncs\n", (unsigned long long)s->writer.bytes, (unsigned long long)s->writer.syncs);
    } else {
        fprintf(stderr, "hato-limit: %s\n", e.message);
    }
    uv_walk(&loop, main_close_handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    server_free(s);
    memory_free(s);
    return rc == ERR_OK ? 0 : 1;
}
