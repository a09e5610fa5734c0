/* Error records (key `x` queue sequence): why a message was not acked, and where it came from, kept apart from its
 * touch record since few messages have one. The owner of the message remembers that there is one, so that an ack of the
 * others costs no delete. Loop thread. */
#ifndef HATO_STATE_LASTERROR_H
#define HATO_STATE_LASTERROR_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct keys;

enum { LASTERROR_TEXT_MAX = 1024, LASTERROR_REASON_MAX = 64 };

struct lasterror {
    struct bytes text;   /* cut at LASTERROR_TEXT_MAX, at a whole UTF-8 character */
    uint32_t status;     /* HTTP status of the last attempt; 0 */
    struct bytes source; /* full name of the queue a moved message came from, "" when it was sent here */
    struct bytes reason; /* why it was moved: "max-receives", ...; "" */
};

void lasterror_put(struct keys *ks, uint64_t queue, uint64_t sequence, const struct lasterror *l);

/* Views are valid until the next keys_get. Errors: ERR_NOT_FOUND (no message is made), the store's. */
int lasterror_get(struct keys *ks, uint64_t queue, uint64_t sequence, struct lasterror *out, struct error *e);

void lasterror_delete(struct keys *ks, uint64_t queue, uint64_t sequence);
void lasterror_clear(struct keys *ks, uint64_t queue); /* all of a queue that is deleted or swept */

#endif
