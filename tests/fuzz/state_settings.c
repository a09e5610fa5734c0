/* Settings as a client gives them, made full, kept, read back. The first byte chooses queue or function. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "state/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char queue_name[] = "000000000000:us-east-1:jobs";

static void queue(struct bytes raw)
{
    Hato__QueueSettings *given = hato__queue_settings__unpack(NULL, raw.len, raw.data);
    Hato__QueueSettings *full = NULL;
    Hato__QueueSettings *back = NULL;
    struct error e;
    if (given == NULL)
        return;
    if (settings_queue_check(given, &e) == ERR_OK &&
        settings_queue_create(bytes_text(queue_name), given, &full, &e) == ERR_OK) {
        struct buffer out = {0};
        settings_queue_encode(full, &out);
        ASSERT(settings_queue_decode(buffer_view(&out), &back, &e) == ERR_OK);
        ASSERT(settings_queue_equal(full, back, false));
        buffer_close(&out);
        settings_queue_free(back);
        settings_queue_free(full);
    }
    hato__queue_settings__free_unpacked(given, NULL);
}

static void function(struct bytes raw)
{
    Hato__FunctionSettings *given = hato__function_settings__unpack(NULL, raw.len, raw.data);
    Hato__FunctionSettings *full = NULL;
    Hato__FunctionSettings *back = NULL;
    struct error e;
    if (given == NULL)
        return;
    if (settings_function_check(given, &e) == ERR_OK && settings_function_create(given, &full, &e) == ERR_OK) {
        struct buffer out = {0};
        settings_function_encode(full, &out);
        ASSERT(settings_function_decode(buffer_view(&out), &back, &e) == ERR_OK);
        ASSERT(settings_function_equal(full, back));
        buffer_close(&out);
        settings_function_free(back);
        settings_function_free(full);
    }
    hato__function_settings__free_unpacked(given, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes raw = bytes_of(data + 1, size - 1);
    if (data[0] % 2 == 0)
        queue(raw);
    else
        function(raw);
    return 0;
}
