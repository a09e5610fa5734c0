/* What comes from outside is checked here, whatever protocol it came by, before anything is proposed: so that a refusal names
 * the field and the limit, and nothing malformed reaches the log. Pure. */
#ifndef HATO_COMMAND_CHECK_H
#define HATO_COMMAND_CHECK_H

#include "base/bytes.h"
#include "base/error.h"
#include "proto/client.pb-c.h"

enum {
    CHECK_ATTRIBUTES_MAX = 64,
    CHECK_ATTRIBUTE_NAME_MAX = 256,
    CHECK_TYPE_SUFFIX_MAX = 200,
    CHECK_NUMBER_MAX = 64,
    CHECK_GROUP_MAX = 128,
    CHECK_DEDUPLICATION_ID_MAX = 128,
    CHECK_PRIORITY_MAX = 7,
    CHECK_TRACEPARENT_LEN = 55,
    CHECK_FIELDS_MAX =
        320, /* of a message, those of its attributes included: with all of these some are left for later versions */
    /* Bytes of a message beside its last body and its attributes, which its queue limits: what nobody knows is stored as well, and
     * has to fit into an entry when the message moves. */
    CHECK_BESIDE_MAX = 8 * 1024,
    CHECK_BATCH_MAX = 1000,
    CHECK_WAIT_MAX_MS = 3600 * 1000,
    CHECK_CREDIT_MAX = 100000,
    CHECK_REASON_MAX = 256,
};

/* One encoded Message from a client: well-formed, and everything about it that does not depend on its queue. */
int check_message(struct bytes raw, struct error *e);

/* `count` of something that comes 1 to CHECK_BATCH_MAX at a time. */
int check_count(size_t count, const char *field, struct error *e);

int check_visibility(uint64_t ms, const char *field, struct error *e); /* up to 7 days */
int check_wait(uint64_t ms, struct error *e);                          /* up to an hour */
int check_rate(double rate, const char *field, struct error *e);

#endif
