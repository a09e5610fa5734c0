/* What another node says: its hello, then frames. The first byte chooses. */
#include <stdint.h>

#include "base/assert.h"
#include "cluster/frame.h"
#include "cluster/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hello(struct bytes raw)
{
    struct hello h, back;
    struct buffer out = {0};
    size_t used;
    if (hello_take(raw, &h, &used, NULL) != ERR_OK || used == 0)
        return;
    ASSERT(used <= raw.len);
    hello_put(&out, &h);
    ASSERT(hello_take(buffer_view(&out), &back, &used, NULL) == ERR_OK && used == out.len);
    ASSERT(back.node == h.node && back.instance == h.instance && back.refused == h.refused);
    buffer_close(&out);
}

static void frames(struct bytes raw)
{
    struct frame f;
    struct buffer out = {0};
    size_t used = 1, want;
    while (used > 0 && frame_take(raw, &f, &used, &want, NULL) == ERR_OK) {
        ASSERT(used <= raw.len && (used > 0 || want > raw.len));
        if (used > 0) {
            buffer_clear(&out);
            size_t at = frame_begin(&out, f.kind, f.shard);
            buffer_put(&out, f.body.data, f.body.len);
            frame_end(&out, at);
            ASSERT(bytes_equal(buffer_view(&out), bytes_of(raw.data, used)));
        }
        raw = bytes_of(raw.data + used, raw.len - used);
    }
    buffer_close(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        hello(bytes_of(data + 1, size - 1));
    else
        frames(bytes_of(data + 1, size - 1));
    return 0;
}
