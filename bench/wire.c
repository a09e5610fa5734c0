#include "bench/wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int wire_address(const char *address, char *host, size_t host_size, int *port, struct error *e)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    long number = colon != NULL ? strtol(colon + 1, &end, 10) : 0;
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;
    if (len == 0 || len >= host_size || number < 1 || number > 65535 || *end != 0)
        return error_field(e, ERR_INVALID, "server", "\"%s\" is no HOST:PORT", address);
    memcpy(host, address, len);
    host[len] = 0;
    *port = (int)number;
    return ERR_OK;
}

static int connect_any(const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            return fd;
        int why = errno;
        if (fd >= 0)
            close(fd);
        errno = why;
    }
    return -1;
}

int wire_open(struct wire *w, const char *address, struct error *e)
{
    *w = (struct wire){.fd = -1};
    char host[256];
    int port = 0;
    if (wire_address(address, host, sizeof(host), &port, e) != ERR_OK)
        return e != NULL ? (int)e->code : ERR_INVALID;
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return error_set(e, ERR_IO, "cannot resolve %s: %s", host, gai_strerror(rc));
    w->fd = connect_any(list);
    int why = errno;
    freeaddrinfo(list);
    if (w->fd < 0)
        return error_set(e, ERR_IO, "cannot connect to %s: %s", address, strerror(why));
    int on = 1;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return ERR_OK;
}

void wire_close(struct wire *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    buffer_close(&w->out);
    buffer_close(&w->in);
    w->out_at = w->in_at = 0;
}

static int wire_send(struct wire *w, struct error *e)
{
    while (w->out_at < w->out.len) {
        ssize_t n = send(w->fd, w->out.data + w->out_at, w->out.len - w->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return ERR_OK;
        if (n < 0)
            return error_set(e, ERR_IO, "sending failed: %s", strerror(errno));
        w->out_at += (size_t)n;
    }
    buffer_clear(&w->out);
    w->out_at = 0;
    return ERR_OK;
}

/* Moves the uneaten rest (a part of one reply) to the front, so that the buffer does not grow with the run. */
static void wire_settle(struct wire *w)
{
    if (w->in_at == 0)
        return;
    size_t left = w->in.len - w->in_at;
    memmove(w->in.data, w->in.data + w->in_at, left);
    w->in.len = left;
    w->in_at = 0;
}

static int wire_take(struct wire *w, bool *took, struct error *e)
{
    wire_settle(w);
    uint8_t *room = buffer_reserve(&w->in, WIRE_READ_BYTES);
    ssize_t n = recv(w->fd, room, WIRE_READ_BYTES, MSG_DONTWAIT);
    if (n == 0)
        return error_set(e, ERR_CLOSED, "the server closed the connection");
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return error_set(e, ERR_IO, "receiving failed: %s", strerror(errno));
    *took = n > 0;
    w->in.len += n > 0 ? (size_t)n : 0;
    return ERR_OK;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Waits for any of `events`; `*ready` tells which. A signal or the timeout leaves it 0. */
static int wire_poll(int fd, short events, uint64_t timeout_ns, short *ready, struct error *e)
{
    struct pollfd p = {.fd = fd, .events = events};
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    int rc = ppoll(&p, 1, timeout_ns != UINT64_MAX ? &timeout : NULL, NULL);
    if (rc < 0 && errno != EINTR)
        return error_set(e, ERR_IO, "poll failed: %s", strerror(errno));
    *ready = rc > 0 ? p.revents : 0;
    return ERR_OK;
}

int wire_readable(int fd, uint64_t timeout_ns, struct error *e)
{
    short ready = 0;
    int rc = wire_poll(fd, POLLIN, timeout_ns, &ready, e);
    return rc == ERR_OK && ready == 0 ? ERR_TIMEOUT : rc;
}

int wire_wait(struct wire *w, uint64_t timeout_ns, struct error *e)
{
    uint64_t until = timeout_ns != UINT64_MAX ? now_ns() + timeout_ns : UINT64_MAX;
    bool took = false;
    while (!took) {
        int rc = wire_send(w, e);
        uint64_t now = until != UINT64_MAX ? now_ns() : 0;
        uint64_t left = until == UINT64_MAX ? UINT64_MAX : until > now ? until - now : 0;
        short events = (short)(POLLIN | (w->out_at < w->out.len ? POLLOUT : 0));
        short ready = 0;
        if (rc == ERR_OK)
            rc = wire_poll(w->fd, events, left, &ready, e);
        if (rc == ERR_OK && (ready & (POLLIN | POLLHUP | POLLERR)) != 0)
            rc = wire_take(w, &took, e);
        if (rc != ERR_OK || left == 0)
            return rc;
    }
    return ERR_OK;
}

bool wire_line(struct wire *w, struct bytes *line)
{
    struct bytes v = wire_view(w);
    const uint8_t *end = v.len > 0 ? memmem(v.data, v.len, "\r\n", 2) : NULL;
    if (end == NULL)
        return false;
    *line = bytes_of(v.data, (size_t)(end - v.data));
    wire_eat(w, line->len + 2);
    return true;
}

int wire_read_line(struct wire *w, struct bytes *line, struct error *e)
{
    while (!wire_line(w, line)) {
        int rc = wire_wait(w, UINT64_MAX, e);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}
