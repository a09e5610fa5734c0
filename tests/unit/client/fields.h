/* What the tests of fields share: text as protobuf-c wants it, and waiting for a reply that is kept. */
#ifndef HATO_TESTS_CLIENT_FIELDS_H
#define HATO_TESTS_CLIENT_FIELDS_H

#include "client/harness.h"

static inline char *text(const char *t)
{
    return (char *)t;
}

/* The last reply that `keep` was called with; the test's to destroy. */
static struct hato_reply *got;

static inline void keep(void *user, const struct hato_reply *reply)
{
    (void)user;
    got = hato_reply_keep(reply);
}

static inline const struct hato_reply *reply_of(struct harness *h)
{
    got = NULL;
    RUN_UNTIL(h, got != NULL);
    ck_assert_int_eq(got->error.code, HATO_OK);
    return got;
}

#endif
