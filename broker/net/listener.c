#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/stream.h"

enum { LISTEN_BACKLOG = 4096, HOST_MAX = 64 };

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static int parse(const char *address, union address *out, struct error *e)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address)
        return error_field(e, ERR_INVALID, "address", "'%s' is not HOST:PORT, for example 127.0.0.1:9325", address);
    size_t len = (size_t)(colon - address);
    const char *from = address;
    if (address[0] == '[' && colon[-1] == ']') {
        from++;
        len -= 2;
    }
    char host[HOST_MAX];
    if (len >= sizeof host)
        return error_field(e, ERR_INVALID, "address", "the host of '%s' is too long", address);
    memcpy(host, from, len);
    host[len] = '\0';
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || end == colon + 1 || port > 65535)
        return error_field(e, ERR_INVALID, "address", "the port of '%s' is not a number from 0 to 65535", address);
    if (uv_ip4_addr(host, (int)port, &out->four) == 0)
        return ERR_OK;
    if (uv_ip6_addr(host, (int)port, &out->six) == 0)
        return ERR_OK;
    return error_field(e, ERR_INVALID, "address", "'%s' is not an IP address; name the address of an interface", host);
}

int address_is_loopback(const char *address, bool *out, struct error *e)
{
    union address parsed = {0};
    int rc = parse(address, &parsed, e);
    if (rc != ERR_OK)
        return rc;
    if (parsed.any.sa_family == AF_INET6) {
        *out = IN6_IS_ADDR_LOOPBACK(&parsed.six.sin6_addr) != 0;
    } else {
        *out = (ntohl(parsed.four.sin_addr.s_addr) >> 24) == 127;
    }
    return ERR_OK;
}

void address_with_port(const char *address, int port, char *out, size_t out_size)
{
    const char *colon = strrchr(address, ':');
    ASSERT(colon != NULL);
    snprintf(out, out_size, "%.*s:%d", (int)(colon - address), address, port);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *l = server->data;
    if (status == 0)
        l->accepted(l, l->ctx);
}

static int share_port(uv_tcp_t *tcp, const struct sockaddr *address, struct error *e)
{
    uv_os_fd_t fd;
    int rc = uv_tcp_init_ex(tcp->loop, tcp, address->sa_family);
    ASSERT(rc == 0);
    uv_fileno((uv_handle_t *)tcp, &fd);
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return error_set(e, ERR_IO, "cannot share a port among loops");
    return ERR_OK;
}

static int cannot_listen(const char *address, int rc, struct error *e)
{
    return error_set(e, ERR_IO, "cannot listen on %s: %s%s", address, uv_strerror(rc),
                     rc == UV_EADDRINUSE ? "; another broker runs there, or choose another port" : "");
}

int listener_open(struct listener *l, struct loop *loop, const char *address, bool share,
                  void (*accepted)(struct listener *l, void *ctx), void *ctx, struct error *e)
{
    union address parsed = {0};
    int rc = parse(address, &parsed, e);
    if (rc != ERR_OK)
        return rc;
    *l = (struct listener){.loop = loop, .accepted = accepted, .ctx = ctx};
    l->tcp.loop = &loop->uv;
    if (share) {
        rc = share_port(&l->tcp, &parsed.any, e);
        if (rc != ERR_OK)
            return rc;
    } else {
        uv_tcp_init(&loop->uv, &l->tcp);
    }
    l->tcp.data = l;
    rc = uv_tcp_bind(&l->tcp, &parsed.any, 0);
    if (rc != 0) {
        uv_close((uv_handle_t *)&l->tcp, NULL);
        return cannot_listen(address, rc, e);
    }
    int len = sizeof parsed;
    uv_tcp_getsockname(&l->tcp, &parsed.any, &len);
    l->port = ntohs(parsed.four.sin_port);
    return ERR_OK;
}

int listener_probe(const char *address, struct error *e)
{
    union address parsed = {0};
    int rc = parse(address, &parsed, e);
    if (rc != ERR_OK)
        return rc;
    int fd = socket(parsed.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return cannot_listen(address, uv_translate_sys_error(errno), e);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* what the last process left in closing is no one */
    socklen_t len = parsed.any.sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int failed = bind(fd, &parsed.any, len) == 0 ? 0 : errno;
    close(fd);
    return failed == 0 ? ERR_OK : cannot_listen(address, uv_translate_sys_error(failed), e);
}

int listener_start(struct listener *l, struct error *e)
{
    int rc = uv_listen((uv_stream_t *)&l->tcp, LISTEN_BACKLOG, on_connection);
    char port[32];
    snprintf(port, sizeof port, "port %d", l->port);
    return rc == 0 ? ERR_OK : cannot_listen(port, rc, e);
}

void listener_close(struct listener *l, void (*closed)(uv_handle_t *handle))
{
    uv_close((uv_handle_t *)&l->tcp, closed);
}
