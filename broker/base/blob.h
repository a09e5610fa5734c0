/* Shared, immutable memory with a reference count: an entry's bytes, written once by the batcher and read from there
 * by the log writer, the peers' links, the state machine and deliveries.
 *
 * Threads: ref and unref are atomic; the contents do not change after the first ref leaves the maker's hands. */
#ifndef HATO_BASE_BLOB_H
#define HATO_BASE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct blob {
    atomic_uint refs;
    size_t len;
    uint8_t *data;
};

struct blob *blob_create(size_t len); /* one reference, uninitialised contents, one allocation */
struct blob *blob_copy(struct bytes b);
struct blob *blob_adopt(struct buffer *b); /* takes the buffer's memory; leaves it empty */
struct blob *blob_ref(struct blob *b);     /* returns b */
void blob_unref(struct blob *b);           /* accepts NULL */

static inline struct bytes blob_view(const struct blob *b)
{
    return (struct bytes){b->data, b->len};
}

#endif
