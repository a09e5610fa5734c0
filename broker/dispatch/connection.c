#include "dispatch/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/container.h"
#include "base/memory.h"
#include "dispatch/transport.h"

static uint64_t key_of(curl_socket_t s)
{
    return (uint64_t)s + 1;
}

static struct connection *connection_create(struct transport *t, curl_socket_t s)
{
    struct connection *c = memory_zero(1, sizeof *c);
    c->transport = t;
    c->socket = s;
    if (uv_poll_init_socket(t->loop, &c->poll, s) != 0) {
        memory_free(c);
        return NULL;
    }
    t->open_handles++;
    idmap_put(&t->connections, key_of(s), c);
    return c;
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = CONTAINER_OF(handle, struct connection, poll);
    struct transport *t = c->transport;
    memory_free(c);
    t->open_handles--;
    if (t->closing && t->open_handles == 0)
        t->closed(t);
}

static void connection_forget(struct connection *c)
{
    idmap_remove(&c->transport->connections, key_of(c->socket));
    uv_close((uv_handle_t *)&c->poll, on_closed);
}

/* Where the connection broke, libcurl finds that out by itself, behind what can still be read: an answer may have come before. */
static void on_event(uv_poll_t *poll, int status, int events)
{
    struct connection *c = CONTAINER_OF(poll, struct connection, poll);
    struct transport *t = c->transport;
    int flags = status < 0 ? CURL_CSELECT_IN | CURL_CSELECT_OUT : 0;
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    int running = 0;
    curl_multi_socket_action(t->multi, c->socket, flags, &running);
    if (status < 0 && !uv_is_closing((uv_handle_t *)poll)) /* libuv has stopped looking at it */
        uv_poll_start(poll, c->events, on_event);
    transport_progress(t);
}

static int on_interest(CURL *easy, curl_socket_t s, int what, void *ctx, void *unused)
{
    (void)easy;
    (void)unused;
    struct transport *t = ctx;
    struct connection *c = idmap_find(&t->connections, key_of(s));
    if (what == CURL_POLL_REMOVE) {
        if (c != NULL)
            connection_forget(c);
        return 0;
    }
    if (c == NULL)
        c = connection_create(t, s);
    if (c == NULL)
        return -1;
    c->events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    ASSERT(uv_poll_start(&c->poll, c->events, on_event) == 0);
    return 0;
}

/* libcurl 7.88 closes a socket that is not connected yet without a word. When the next one gets the same number, it
 * takes it for watched already; but the kernel forgot the old one when it was closed. So watch anew. */
static void watch_again(struct transport *t, curl_socket_t s)
{
    struct connection *c = idmap_find(&t->connections, key_of(s));
    if (c == NULL)
        return;
    uv_poll_stop(&c->poll);
    ASSERT(uv_poll_start(&c->poll, c->events, on_event) == 0);
}

/* Where a connection is made: the address judged here is the one that is connected to. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct exchange *x = ctx;
    if (!address_allowed(&x->transport->policy, &address->addr)) {
        address_text(&address->addr, x->blocked);
        return CURL_SOCKET_BAD;
    }
    int s = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    if (s < 0)
        return CURL_SOCKET_BAD;
    watch_again(x->transport, s);
    return s;
}

void connection_setup_multi(struct transport *t)
{
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_interest);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
}

void connection_setup_easy(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
}
