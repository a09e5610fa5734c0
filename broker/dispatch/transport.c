#include "dispatch/transport.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/container.h"
#include "base/memory.h"
#include "dispatch/connection.h"

static size_t on_answer(char *data, size_t one, size_t len, void *ctx)
{
    (void)one;
    struct exchange *x = ctx;
    size_t room = x->keep_max > x->received.len ? x->keep_max - x->received.len : 0;
    size_t kept = len < room ? len : room;
    x->seen += len;
    x->too_large = x->seen > ANSWER_BYTES_MAX;
    x->crowded = !x->too_large && x->transport->received + kept > x->transport->received_max;
    if (x->too_large || x->crowded)
        return CURL_WRITEFUNC_ERROR;
    buffer_put(&x->received, data, kept);
    x->transport->received += kept;
    return len;
}

/* libcurl takes a connection that ends among the headers for a whole answer; so we look for their end. Behind it there may
 * be a status line, when what ended was an informational answer, or trailers, which have no end of their own here. */
static size_t on_header(char *line, size_t one, size_t len, void *ctx)
{
    (void)one;
    struct exchange *x = ctx;
    x->headers_seen += len;
    if (x->headers_seen > TRANSPORT_HEADERS_MAX) {
        x->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
        x->headers_whole = false;
    else if (len > 0 && (line[0] == '\r' || line[0] == '\n'))
        x->headers_whole = true;
    return len;
}

/* Called with a connection chosen, kept or new, before the request leaves on it. When a kept one is dead, libcurl sends the request on
 * another: on all that it has kept, one after another, unless it is told to make a new one. A new one that dies it takes for an end. */
static int on_connected(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    struct exchange *x = ctx;
    curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
    return CURL_PREREQFUNC_OK;
}

/* What is the same for every request. */
static CURL *handle_create(const struct transport *t)
{
    CURL *easy = curl_easy_init();
    ASSERT(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Or else giving up a request waits, and with it the loop, for the thread that looks its name up. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, (long)TRANSPORT_DNS_SECONDS);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    if (t->ca != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, t->ca);
    connection_setup_easy(easy);
    return easy;
}

static CURL *handle_take(struct transport *t)
{
    return t->handle_count > 0 ? t->handles[--t->handle_count] : handle_create(t);
}

static void handle_return(struct transport *t, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
    if (t->handle_count < TRANSPORT_HANDLES_MAX)
        t->handles[t->handle_count++] = easy;
    else
        curl_easy_cleanup(easy);
}

static void on_timer(uv_timer_t *timer)
{
    struct transport *t = CONTAINER_OF(timer, struct transport, timer);
    int running = 0;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    transport_progress(t);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct transport *t = ctx;
    if (timeout_ms < 0)
        uv_timer_stop(&t->timer);
    else
        uv_timer_start(&t->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

int transport_open(struct transport *t, uv_loop_t *loop, const struct address_policy *policy, const char *ca,
                   void (*settled)(struct transport *t), struct error *e)
{
    *t =
        (struct transport){.loop = loop, .policy = *policy, .received_max = TRANSPORT_RECEIVED_MAX, .settled = settled};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(e, ERR_INTERNAL, "libcurl can't be initialised");
    t->multi = curl_multi_init();
    if (t->multi == NULL) {
        curl_global_cleanup();
        return error_set(e, ERR_INTERNAL, "libcurl has no handle to give");
    }
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)TRANSPORT_IDLE_MAX);
    curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    t->ca = ca != NULL ? memory_string(ca, strlen(ca)) : NULL;
    connection_setup_multi(t);
    ASSERT(uv_timer_init(loop, &t->timer) == 0);
    t->open_handles = 1;
    return ERR_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct transport *t = CONTAINER_OF(handle, struct transport, timer);
    t->open_handles--;
    if (t->open_handles == 0)
        t->closed(t);
}

void transport_close(struct transport *t, void (*closed)(struct transport *t))
{
    t->closing = true;
    t->closed = closed;
    while (t->handle_count > 0)
        curl_easy_cleanup(t->handles[--t->handle_count]);
    curl_multi_cleanup(t->multi);
    ASSERT(idmap_count(&t->connections) == 0);
    idmap_close(&t->connections);
    memory_free(t->ca);
    curl_global_cleanup();
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

void transport_send(struct transport *t, struct exchange *x)
{
    CURL *easy = handle_take(t);
    x->transport = t;
    x->easy = easy;
    curl_easy_setopt(easy, CURLOPT_URL, x->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->body.len > 0 ? (const char *)x->body.data : "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)x->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)x->connect_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    x->error[0] = '\0';
    ASSERT(curl_multi_add_handle(t->multi, easy) == CURLM_OK);
}

void transport_cancel(struct transport *t, struct exchange *x)
{
    curl_multi_remove_handle(t->multi, x->easy);
}

/* Whether any of the request left; over all connections that were tried for it. */
static bool was_sent(const struct exchange *x)
{
    long bytes = 0;
    curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &bytes);
    return bytes > 0;
}

static enum answer_end end_of(const struct exchange *x, CURLcode result)
{
    if (result == CURLE_OK)
        return x->headers_whole ? ANSWER_COMPLETE : ANSWER_BROKEN;
    if (x->too_large)
        return ANSWER_TOO_LARGE;
    if (x->crowded)
        return ANSWER_CROWDED;
    if (!was_sent(x))
        return ANSWER_UNREACHABLE;
    return result == CURLE_OPERATION_TIMEDOUT ? ANSWER_TIMED_OUT : ANSWER_BROKEN;
}

static const char *header_of(const struct exchange *x, const char *name)
{
    struct curl_header *h = NULL;
    return curl_easy_header(x->easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static void read_answer(struct exchange *x, CURLcode result)
{
    long status = 0;
    curl_off_t us = 0;
    char *content_type = NULL;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_TOTAL_TIME_T, &us);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &content_type);
    x->duration_us = us > 0 ? (uint64_t)us : 0;
    if (result == CURLE_OK)
        snprintf(x->reason, sizeof x->reason, "%s", x->headers_whole ? "" : "the connection ended among the headers");
    else if (x->crowded)
        snprintf(x->reason, sizeof x->reason, "the answers of all functions together would exceed %zu bytes",
                 x->transport->received_max);
    else if (x->blocked[0] != '\0' && result == CURLE_COULDNT_CONNECT)
        snprintf(x->reason, sizeof x->reason, "address %s is private and not among those of --allow-endpoints",
                 x->blocked);
    else if (result == CURLE_OUT_OF_MEMORY) /* what libcurl calls a line beyond its limit */
        snprintf(x->reason, sizeof x->reason, "a header line is too long, or memory ran out");
    else
        snprintf(x->reason, sizeof x->reason, "%s", x->error[0] != '\0' ? x->error : curl_easy_strerror(result));
    x->retry_after = status >= 300 ? header_of(x, "retry-after") : NULL;
    x->answer = (struct answer){.end = end_of(x, result),
                                .status = status > 0 ? (uint32_t)status : 0,
                                .body = buffer_view(&x->received),
                                .content_type = or_empty(content_type),
                                .function_error = or_empty(header_of(x, "x-amz-function-error")),
                                .reason = x->reason};
}

void transport_progress(struct transport *t)
{
    CURLMsg *m;
    int left = 0;
    bool any = false;
    while ((m = curl_multi_info_read(t->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode result = m->data.result;
        CURL *easy = m->easy_handle;
        struct exchange *x = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &x);
        curl_multi_remove_handle(t->multi, easy);
        read_answer(x, result);
        any = true;
        x->done(x);
    }
    if (any)
        t->settled(t);
}

void exchange_clear(struct exchange *x, size_t keep)
{
    if (x->transport == NULL)
        return;
    x->transport->received -= x->received.len;
    if (x->easy != NULL)
        handle_return(x->transport, x->easy);
    struct buffer received = x->received;
    buffer_clear(&received);
    if (received.capacity > keep)
        buffer_close(&received);
    *x = (struct exchange){.received = received};
}
