#include "dispatch/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ::ffff:0:0/96, under which IPv4 addresses are kept. */
static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* IANA's special-purpose registries: what is not globally reachable unicast. */
static const struct {
    uint8_t prefix[4];
    uint8_t bits;
} refused4[] = {
    {{0, 0, 0, 0}, 8},       /* this network */
    {{10, 0, 0, 0}, 8},      /* private */
    {{100, 64, 0, 0}, 10},   /* shared, behind carriers' NAT */
    {{127, 0, 0, 0}, 8},     /* loopback */
    {{169, 254, 0, 0}, 16},  /* link-local; clouds' metadata */
    {{172, 16, 0, 0}, 12},   /* private */
    {{192, 0, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2, 0}, 24},    /* documentation */
    {{192, 88, 99, 0}, 24},  /* 6to4 relays, given up */
    {{192, 168, 0, 0}, 16},  /* private */
    {{198, 18, 0, 0}, 15},   /* benchmarks */
    {{198, 51, 100, 0}, 24}, /* documentation */
    {{203, 0, 113, 0}, 24},  /* documentation */
    {{224, 0, 0, 0}, 4},     /* multicast */
    {{240, 0, 0, 0}, 4},     /* reserved, broadcast */
};

/* Within 2000::/3; all outside of it is refused anyway. */
static const struct {
    uint8_t prefix[4];
    uint8_t bits;
} refused6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* documentation */
};

static bool prefix_matches(const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8;
    if (memcmp(address, prefix, whole) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (address[whole] ^ prefix[whole]) >> (8 - rest) == 0;
}

static bool public4(const uint8_t a[4])
{
    for (size_t i = 0; i < sizeof refused4 / sizeof refused4[0]; i++)
        if (prefix_matches(a, refused4[i].prefix, refused4[i].bits))
            return false;
    return true;
}

/* Only 2000::/3 is handed out; of the rest, what carries an IPv4 address is as good as that address. */
static bool public6(const uint8_t a[16])
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return public4(a + 12);
    if (a[0] >> 5 != 1)
        return false;
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        return public4(a + 2);
    for (size_t i = 0; i < sizeof refused6 / sizeof refused6[0]; i++)
        if (prefix_matches(a, refused6[i].prefix, refused6[i].bits))
            return false;
    return true;
}

/* An address as 16 bytes; false for other families. */
static bool widen(const struct sockaddr *address, uint8_t out[16])
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        memcpy(out, mapped, 12);
        memcpy(out + 12, &in.sin_addr, 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(out, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool address_allowed(const struct address_policy *p, const struct sockaddr *address)
{
    uint8_t a[16];
    if (!widen(address, a))
        return false;
    if (p->allow_private || public6(a))
        return true;
    for (uint32_t i = 0; i < p->allowed_count; i++)
        if (prefix_matches(a, p->allowed[i].prefix, p->allowed[i].bits))
            return true;
    return false;
}

char *address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX])
{
    uint8_t a[16];
    if (!widen(address, a) ||
        inet_ntop(address->sa_family, address->sa_family == AF_INET ? a + 12 : a, out, ADDRESS_TEXT_MAX) == NULL)
        return memcpy(out, "?", 2);
    return out;
}

/* Digits only, at most `max`; false otherwise. */
static bool parse_bits(const char *text, unsigned max, unsigned *out)
{
    size_t len = strlen(text);
    if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
        return false;
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out <= max;
}

static bool beyond_is_zero(const struct address_range *r)
{
    for (unsigned bit = r->bits; bit < 128; bit++)
        if ((r->prefix[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return false;
    return true;
}

int address_range_parse(const char *text, struct address_range *out, struct error *e)
{
    char host[ADDRESS_TEXT_MAX];
    size_t len = strcspn(text, "/");
    if (len >= sizeof host)
        return error_set(e, ERR_INVALID, "\"%.80s\" is not an address or range of addresses", text);
    memcpy(host, text, len);
    host[len] = '\0';
    struct address_range r = {.bits = 128};
    unsigned family_bits = 128;
    if (inet_pton(AF_INET, host, r.prefix + 12) == 1) {
        memcpy(r.prefix, mapped, 12);
        family_bits = 32;
    } else if (inet_pton(AF_INET6, host, r.prefix) != 1) {
        return error_set(e, ERR_INVALID, "\"%.80s\" is not an address or range of addresses (10.0.0.0/8, fd00::/8)",
                         text);
    }
    if (text[len] == '/') {
        unsigned bits = 0;
        if (!parse_bits(text + len + 1, family_bits, &bits))
            return error_set(e, ERR_INVALID, "the prefix length of \"%.80s\" is not a number from 0 to %u", text,
                             family_bits);
        r.bits = (uint8_t)(128 - family_bits + bits);
    }
    if (!beyond_is_zero(&r))
        return error_set(e, ERR_INVALID, "\"%.80s\" has bits set beyond its prefix", text);
    *out = r;
    return ERR_OK;
}

int address_policy_allow(struct address_policy *p, const char *text, struct error *e)
{
    struct address_range r;
    int code = address_range_parse(text, &r, e);
    if (code != ERR_OK)
        return code;
    if (p->allowed_count == ADDRESS_RANGES_MAX)
        return error_set(e, ERR_LIMIT, "at most %d ranges of addresses may be allowed", ADDRESS_RANGES_MAX);
    p->allowed[p->allowed_count++] = r;
    return ERR_OK;
}
