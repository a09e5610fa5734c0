/* XXH3 (64 bits) of what comes in pieces: the same whatever the pieces are, and as bytes_hash with seed 0 over all of them. */
#ifndef HATO_BASE_HASHER_H
#define HATO_BASE_HASHER_H

#include <stdint.h>

#include "base/bytes.h"

struct hasher;

struct hasher *hasher_create(void);
void hasher_destroy(struct hasher *h); /* accepts NULL */
void hasher_begin(struct hasher *h);   /* anew */
void hasher_add(struct hasher *h, struct bytes piece);
uint64_t hasher_value(const struct hasher *h); /* of all since it began */

#endif
