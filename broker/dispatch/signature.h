/* Standard Webhooks 1.0: what a receiver checks to know that a request came from this broker, and that it is not an
 * old one. */
#ifndef HATO_DISPATCH_SIGNATURE_H
#define HATO_DISPATCH_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct crypto;

enum {
    SIGNATURE_SECRETS_MAX = 2, /* the new one and the one it replaces: a rotation without a gap */
    SIGNATURE_KEY_MIN = 24,
    SIGNATURE_KEY_MAX = 64,
    SIGNATURE_TEXT_MAX = 128 /* of webhook-signature, with two secrets */
};

struct signature_key {
    uint8_t bytes[SIGNATURE_KEY_MAX];
    uint32_t len;
};

/* "whsec_" and the base64 of 24 to 64 bytes. Errors: ERR_INVALID; the secret itself is never part of the message. */
int signature_key_parse(const char *secret, struct signature_key *out, struct error *e);

/* The value of webhook-signature: "v1," and the base64 of HMAC-SHA256 over "id.seconds.body", one for each key, newest
 * first, separated by spaces. `count` is 1 or more. */
void signature_write(struct crypto *crypto, const struct signature_key *keys, uint32_t count, const char *id,
                     uint64_t seconds, struct bytes body, struct buffer *out);

#endif
