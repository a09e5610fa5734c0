/* The header of a log record, and the check that ties it to its payload. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "log/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record r;
    struct record back;
    uint8_t header[RECORD_HEADER_BYTES];
    if (size < RECORD_HEADER_BYTES || !record_decode(data, &r))
        return 0;
    if (record_bytes(&r) > size || !record_verify(data, &r))
        return 0;
    /* Fields come back as they were; so does all of the header where the reserved bytes are zeros, as writers leave them. */
    uint64_t checksum = r.checksum;
    record_encode(&r, bytes_of(data + RECORD_HEADER_BYTES, r.stored), header);
    ASSERT(record_decode(header, &back) && back.index == r.index && back.kind == r.kind && back.group == r.group);
    ASSERT((memcmp(header, data, sizeof header) == 0) == (checksum == back.checksum));
    return 0;
}
