/* SHA-256 (FIPS 180-4), for layers below the one that may use OpenSSL: the state machine tells equal bodies by it. */
#ifndef HATO_BASE_SHA256_H
#define HATO_BASE_SHA256_H

#include <stdint.h>

#include "base/bytes.h"

enum { SHA256_LEN = 32 };

void sha256(struct bytes b, uint8_t out[SHA256_LEN]);

#endif
