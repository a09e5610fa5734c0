/* Which addresses a function's endpoint may have: the guard against a broker that is made to call its own network.
 *
 * Judged is the address that is about to be connected to, not the name or an earlier look-up of it. Refused by default
 * is everything that is not a public unicast address: loopback, private and shared space, link-local (and with it the
 * metadata services of clouds), unique local, multicast, reserved and documentation ranges, also when written as an
 * IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4). Pure: no sockets, no look-ups. */
#ifndef HATO_DISPATCH_ADDRESS_H
#define HATO_DISPATCH_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sockaddr;

enum { ADDRESS_RANGES_MAX = 64, ADDRESS_TEXT_MAX = 64 };

/* IPv4 ranges are kept as their mapped IPv6 ones. */
struct address_range {
    uint8_t prefix[16];
    uint8_t bits; /* of the 128 */
};

/* A zeroed struct allows public addresses only. */
struct address_policy {
    bool allow_private; /* everything goes: the broker listens on loopback only, or was told so */
    uint32_t allowed_count;
    struct address_range allowed[ADDRESS_RANGES_MAX]; /* go although they are not public */
};

/* "10.1.0.0/16", "fd00::/8", or a single address. Errors: ERR_INVALID, also when bits beyond the prefix are set. */
int address_range_parse(const char *text, struct address_range *out, struct error *e);

/* Errors: as address_range_parse; ERR_LIMIT beyond ADDRESS_RANGES_MAX. */
int address_policy_allow(struct address_policy *p, const char *text, struct error *e);

/* False for families other than IPv4 and IPv6. */
bool address_allowed(const struct address_policy *p, const struct sockaddr *address);

/* For messages; "?" for other families. Returns `out`. */
char *address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX]);

#endif
