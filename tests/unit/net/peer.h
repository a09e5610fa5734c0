/* The other end of a connection to a loop under test: a blocking socket on a thread of its own, or driven step by step. */
#ifndef HATO_TESTS_UNIT_NET_PEER_H
#define HATO_TESTS_UNIT_NET_PEER_H

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

static inline int peer_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void peer_send(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* refused midway: the answer says so */
        at += n;
        len -= (size_t)n;
    }
}

/* All that comes until the other side closes. */
static inline void peer_read_all(int fd, struct buffer *out)
{
    for (;;) {
        uint8_t *at = buffer_reserve(out, 65536);
        ssize_t n = recv(fd, at, 65536, 0);
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
    buffer_u8(out, 0);
    out->len--;
}

/* Reads until `text` has come `times` times. */
static inline void peer_read_until(int fd, struct buffer *out, const char *text, int times)
{
    for (;;) {
        int found = 0;
        buffer_u8(out, 0);
        out->len--;
        for (const char *at = (const char *)out->data; (at = strstr(at, text)) != NULL; at++)
            found++;
        if (found >= times)
            return;
        uint8_t *at = buffer_reserve(out, 65536);
        ssize_t n = recv(fd, at, 65536, 0);
        ck_assert_msg(n > 0, "the connection ended before '%s' had come %d times: %s", text, times,
                      (const char *)out->data);
        out->len += (size_t)n;
    }
}

#endif
