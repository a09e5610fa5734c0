/* Digests, signatures, base64 and random bytes: the broker's one way to OpenSSL's libcrypto.
 *
 * A `struct crypto` holds fetched algorithms and their contexts, because looking them up costs more than hashing a
 * small message does. It belongs to one thread; make one per loop. The functions without it may be called from
 * anywhere. Nothing here can fail for a reason outside the program, so libcrypto's refusals are assertions. */
#ifndef HATO_NET_CRYPTO_H
#define HATO_NET_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { CRYPTO_MD5 = 16, CRYPTO_SHA256 = 32 };

struct crypto;

struct crypto *crypto_create(void);
void crypto_destroy(struct crypto *c); /* accepts NULL */

/* Of the parts, one after another. MD5 is for formats that ask for it, not for anything to be trusted. */
void crypto_md5(struct crypto *c, const struct bytes *parts, size_t count, uint8_t out[CRYPTO_MD5]);
void crypto_sha256(struct crypto *c, const struct bytes *parts, size_t count, uint8_t out[CRYPTO_SHA256]);
void crypto_hmac_sha256(struct crypto *c, struct bytes key, const struct bytes *parts, size_t count,
                        uint8_t out[CRYPTO_SHA256]);

/* Takes the same time whatever the contents. */
bool crypto_equal(const void *a, const void *b, size_t len);

/* From the kernel's generator, through libcrypto's. */
void crypto_random(void *out, size_t len);

/* Whether the file holds certificates, in PEM, that can be read. Errors: ERR_INVALID. */
int crypto_check_certificates(const char *file, struct error *e);

/* Lower-case hexadecimal digits, appended. */
void crypto_hex(struct buffer *out, struct bytes in);

/* The standard alphabet with padding, appended, no line breaks. */
void base64_put(struct buffer *out, struct bytes in);

/* Appends the decoded bytes. Strict: padding where it belongs, no other characters, no bits set beyond the data. False
 * when it is not base64; `out` is then as it was. */
bool base64_take(struct buffer *out, struct bytes in);

#endif
