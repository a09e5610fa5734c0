#include "net/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

int resolve_split(const char *address, char host[RESOLVE_HOST_MAX + 1], uint16_t *port, struct error *e)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address)
        return error_field(e, ERR_INVALID, "address", "'%s' is not HOST:PORT, for example 10.0.0.1:9400", address);
    size_t len = (size_t)(colon - address);
    const char *from = address;
    if (address[0] == '[' && colon[-1] == ']') {
        from++;
        len -= 2;
    }
    if (len == 0 || len > RESOLVE_HOST_MAX)
        return error_field(e, ERR_INVALID, "address", "the host of '%s' must have 1 to %d characters", address,
                           RESOLVE_HOST_MAX);
    char *end;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || number == 0 || number > UINT16_MAX)
        return error_field(e, ERR_INVALID, "address", "the port of '%s' is not a number from 1 to 65535", address);
    memcpy(host, from, len);
    host[len] = '\0';
    *port = (uint16_t)number;
    return ERR_OK;
}

static void keep(struct resolve *r, const struct addrinfo *a)
{
    union resolve_address *to = &r->found[r->count];
    if (a->ai_family == AF_INET)
        to->four = *(const struct sockaddr_in *)(const void *)a->ai_addr;
    else if (a->ai_family == AF_INET6)
        to->six = *(const struct sockaddr_in6 *)(const void *)a->ai_addr;
    else
        return;
    r->count++;
}

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *all)
{
    struct resolve *r = CONTAINER_OF(uv, struct resolve, uv);
    for (const struct addrinfo *a = all; a != NULL && r->count < RESOLVE_ADDRESSES_MAX; a = a->ai_next)
        keep(r, a);
    uv_freeaddrinfo(all);
    r->failure = r->count > 0 ? 0 : status != 0 ? status : UV_EAI_NONAME;
    r->done(r);
}

void resolve_start(struct resolve *r, struct loop *loop, const char *host, uint16_t port,
                   void (*done)(struct resolve *r))
{
    *r = (struct resolve){.done = done};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc = uv_getaddrinfo(&loop->uv, &r->uv, on_resolved, host, service, &hints);
    ASSERT(rc == 0); /* fails for a host without end only */
}

void resolve_cancel(struct resolve *r)
{
    uv_cancel((uv_req_t *)&r->uv);
}
