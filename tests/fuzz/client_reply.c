/* A frame from the broker, as the client library unpacks it. */
#include <stdint.h>

#include "library/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct hato_reply reply = {0};
    Hato__Reply *unpacked = decode_unpack(&a, bytes_of(data, size));
    if (unpacked != NULL)
        decode_reply(&a, "000000000000:us-east-1:", &reply, unpacked);
    arena_close(&a);
    return 0;
}
