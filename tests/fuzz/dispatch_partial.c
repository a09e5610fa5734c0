/* What a function answers. The first byte chooses the content type. */
#include <stdint.h>

#include "base/assert.h"
#include "dispatch/message.h"
#include "dispatch/partial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"", "application/json", "application/json; charset=utf-8", "text/plain"};
    static const struct source_message sources[MESSAGES] = {{.id = "a"}, {.id = "b"}, {.id = "c"}};
    struct message messages[MESSAGES];
    bool failed[MESSAGES] = {false};
    const char *why = NULL;
    if (size == 0)
        return 0;
    for (size_t i = 0; i < MESSAGES; i++)
        messages[i] = (struct message){.source = &sources[i]};
    enum partial p = partial_read(bytes_of(data + 1, size - 1), types[data[0] % 4], messages, MESSAGES, failed, &why);
    ASSERT(why != NULL && (p == PARTIAL_ALL_FAILED) == (why[0] != '\0'));
    if (p == PARTIAL_SOME_FAILED)
        ASSERT(failed[0] || failed[1] || failed[2]);
    return 0;
}
