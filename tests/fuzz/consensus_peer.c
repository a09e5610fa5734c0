/* What comes from a peer before raft sees it, and a stored membership. The first byte chooses. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "consensus/envelope.h"
#include "consensus/membership.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void envelope(struct bytes raw)
{
    struct blob *owner = blob_copy(raw);
    struct raft_message m;
    struct error e;
    if (envelope_decode(owner, blob_view(owner), &m, &e) == ERR_OK) {
        struct buffer out = {0};
        envelope_encode(&m, &out);
        ASSERT(out.len + envelope_body_len(&m) <= raw.len);
        buffer_close(&out);
        envelope_free(&m);
    }
    blob_unref(owner);
}

static void membership(struct bytes raw)
{
    struct membership m;
    struct membership back;
    struct error e;
    memset(&m, 0, sizeof m);
    memset(&back, 0, sizeof back);
    if (membership_decode(raw, &m, &e) != ERR_OK)
        return;
    ASSERT(membership_check(&m, &e) == ERR_OK);
    struct buffer out = {0};
    membership_encode(&m, &out);
    ASSERT(membership_decode(buffer_view(&out), &back, &e) == ERR_OK);
    ASSERT(back.voters.count == m.voters.count && back.learners.count == m.learners.count);
    buffer_close(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes raw = bytes_of(data + 1, size - 1);
    if (data[0] % 2 == 0)
        envelope(raw);
    else
        membership(raw);
    return 0;
}
