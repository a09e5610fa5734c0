#include "bench/function.h"

#include <errno.h>
#include <llhttp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/memory.h"

struct function_server {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_signal_t stops[2];
    llhttp_settings_t parsing;
    struct function_counts *counts;
    char read[FUNCTION_READ_BYTES];
};

struct function_connection {
    uv_tcp_t tcp;
    struct function_server *server;
    llhttp_t parser;
    struct buffer body;
    uint32_t due; /* answers to the requests of this read */
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n"
                             "{\"batchItemFailures\":[]}";

enum { ANSWER_BYTES = sizeof(answer) - 1 };

uint64_t function_messages(struct bytes body)
{
    static const char id[] = "\"messageId\"";
    uint64_t count = 0;
    const uint8_t *at = body.data, *end = body.data + body.len;
    while (at != end && (at = memmem(at, (size_t)(end - at), id, sizeof(id) - 1)) != NULL) {
        at += sizeof(id) - 1;
        count++;
    }
    return count > 0 ? count : 1;
}

static int function_on_body(llhttp_t *parser, const char *data, size_t len)
{
    struct function_connection *c = parser->data;
    if (c->body.len + len > FUNCTION_BODY_MAX)
        return -1;
    buffer_put(&c->body, data, len);
    return 0;
}

static int function_on_request(llhttp_t *parser)
{
    struct function_connection *c = parser->data;
    atomic_fetch_add(&c->server->counts->requests, 1);
    atomic_fetch_add(&c->server->counts->messages, function_messages(buffer_view(&c->body)));
    buffer_clear(&c->body);
    c->due++;
    return 0;
}

static void function_free(uv_handle_t *handle)
{
    struct function_connection *c = handle->data;
    buffer_close(&c->body);
    memory_free(c);
}

static void function_close(struct function_connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, function_free);
}

static void function_written(uv_write_t *request, int status)
{
    (void)status;
    memory_free(request);
}

static void function_answer(struct function_connection *c)
{
    uv_buf_t one = uv_buf_init((char *)(uintptr_t)answer, ANSWER_BYTES);
    for (; c->due > 0; c->due--) {
        /* Nearly always the socket takes it at once. */
        if (uv_try_write((uv_stream_t *)&c->tcp, &one, 1) == ANSWER_BYTES)
            continue;
        uv_write_t *request = memory_alloc(sizeof(*request));
        if (uv_write(request, (uv_stream_t *)&c->tcp, &one, 1, function_written) != 0) {
            memory_free(request);
            function_close(c);
            return;
        }
    }
}

static void function_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct function_connection *c = stream->data;
    if (n < 0 || llhttp_execute(&c->parser, buf->base, (size_t)n) != HPE_OK)
        function_close(c);
    else
        function_answer(c);
}

static void function_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct function_connection *c = handle->data;
    *buf = uv_buf_init(c->server->read, FUNCTION_READ_BYTES);
}

static void function_connected(uv_stream_t *listener, int status)
{
    struct function_server *s = listener->data;
    if (status != 0)
        return;
    struct function_connection *c = memory_zero(1, sizeof(*c));
    uv_tcp_init(&s->loop, &c->tcp);
    c->tcp.data = c;
    c->server = s;
    llhttp_init(&c->parser, HTTP_REQUEST, &s->parsing);
    c->parser.data = c;
    atomic_fetch_add(&s->counts->connections, 1);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        function_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, function_alloc, function_read);
}

static void function_stopped(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

static void function_close_handle(uv_handle_t *handle, void *arg)
{
    struct function_server *s = arg;
    bool ours = handle == (uv_handle_t *)&s->listener || handle->type == UV_SIGNAL;
    if (!uv_is_closing(handle))
        uv_close(handle, ours ? NULL : function_free);
}

static int function_listen(struct function_server *s, int port, struct error *e)
{
    struct sockaddr_in at;
    uv_ip4_addr("127.0.0.1", port, &at);
    int size = sizeof(at);
    int rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)&at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, 1024, function_connected);
    if (rc == 0)
        rc = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&at, &size);
    atomic_store(&s->counts->port, rc == 0 ? ntohs(at.sin_port) : -1);
    return rc == 0 ? ERR_OK : error_set(e, ERR_IO, "cannot listen on port %d: %s", port, uv_strerror(rc));
}

int function_serve(int port, struct function_counts *counts, struct error *e)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    struct function_server *s = memory_zero(1, sizeof(*s));
    s->counts = counts;
    llhttp_settings_init(&s->parsing);
    s->parsing.on_body = function_on_body;
    s->parsing.on_message_complete = function_on_request;
    uv_loop_init(&s->loop);
    uv_tcp_init(&s->loop, &s->listener);
    s->listener.data = s;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&s->loop, &s->stops[i]);
        uv_signal_start(&s->stops[i], function_stopped, numbers[i]);
    }
    int rc = function_listen(s, port, e);
    if (rc == ERR_OK)
        uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_walk(&s->loop, function_close_handle, s);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    memory_free(s);
    return rc;
}

int function_start(struct function_counts **counts, pid_t *pid, struct error *e)
{
    void *shared = mmap(NULL, sizeof(**counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return error_set(e, ERR_IO, "no shared memory: %s", strerror(errno));
    *counts = shared;
    *pid = fork();
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        _exit(function_serve(0, *counts, NULL) == ERR_OK ? 0 : 1);
    }
    const struct timespec ms = {0, 1000000};
    while (*pid > 0 && atomic_load(&(*counts)->port) == 0)
        nanosleep(&ms, NULL);
    if (*pid > 0 && atomic_load(&(*counts)->port) > 0)
        return ERR_OK;
    function_stop(*counts, *pid);
    *counts = NULL;
    return error_set(e, ERR_IO, "the function's server did not start");
}

void function_stop(struct function_counts *counts, pid_t pid)
{
    if (counts == NULL)
        return;
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    munmap(counts, sizeof(*counts));
}
