/* A message from a client. What the check lets through, the machine and protobuf can read. */
#include <stdint.h>

#include "base/assert.h"
#include "command/check.h"
#include "proto/client.pb-c.h"
#include "state/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes raw = bytes_of(data, size);
    struct message m;
    struct error e = {0};
    bool scanned = message_scan(raw, &m);
    if (check_message(raw, &e) != ERR_OK) {
        ASSERT(e.code != ERR_OK && e.message[0] != '\0');
        return 0;
    }
    ASSERT(scanned && !m.has_provenance);
    ASSERT(m.group.len <= CHECK_GROUP_MAX && m.deduplication_id.len <= CHECK_DEDUPLICATION_ID_MAX);
    Hato__Message *unpacked = hato__message__unpack(NULL, size, data);
    ASSERT(unpacked != NULL && unpacked->body.len == m.body.len);
    hato__message__free_unpacked(unpacked, NULL);
    return 0;
}
