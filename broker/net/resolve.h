/* HOST:PORT to addresses, on libuv's pool. Loop thread only. */
#ifndef HATO_NET_RESOLVE_H
#define HATO_NET_RESOLVE_H

#include "base/error.h"
#include "net/loop.h"

enum { RESOLVE_HOST_MAX = 255, RESOLVE_ADDRESSES_MAX = 8 };

struct resolve {
    uv_getaddrinfo_t uv;
    union resolve_address {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } found[RESOLVE_ADDRESSES_MAX];
    unsigned count;
    int failure; /* why there is none: a libuv error number, else 0 */
    void (*done)(struct resolve *r);
};

/* Takes HOST:PORT apart; "[::1]:9400" is an IPv6 address. Errors: ERR_INVALID, with `field` "address". */
int resolve_split(const char *address, char host[RESOLVE_HOST_MAX + 1], uint16_t *port, struct error *e);

/* `done` is called exactly once, never from inside; the memory stays until then. */
void resolve_start(struct resolve *r, struct loop *loop, const char *host, uint16_t port,
                   void (*done)(struct resolve *r));

/* Makes `done` come soon, if it can; it may also take as long as the system's resolver does. */
void resolve_cancel(struct resolve *r);

#endif
