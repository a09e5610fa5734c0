/* Durations, sizes and UTF-8 as they come from flags, settings and bodies. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/human.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_duration(const char *text)
{
    uint64_t ms;
    uint64_t again;
    char written[HUMAN_TEXT_MAX];
    if (human_duration(text, &ms, NULL) != ERR_OK)
        return;
    ASSERT(human_duration(human_duration_text(ms, written), &again, NULL) == ERR_OK);
    ASSERT(again == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    uint64_t bytes;
    char written[HUMAN_TEXT_MAX];
    struct error e;
    check_duration(text);
    if (human_size(text, &bytes, &e) == ERR_OK)
        human_size_text(bytes, written);
    struct bytes view = bytes_of(data, size);
    ASSERT(!utf8_xml(view) || utf8_valid(view));
    free(text);
    return 0;
}
