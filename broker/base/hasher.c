#include "base/hasher.h"

#include <xxhash.h>

struct hasher *hasher_create(void)
{
    XXH3_state_t *state = XXH3_createState();
    XXH3_64bits_reset(state);
    return (struct hasher *)state;
}

void hasher_destroy(struct hasher *h)
{
    XXH3_freeState((XXH3_state_t *)h);
}

void hasher_begin(struct hasher *h)
{
    XXH3_64bits_reset((XXH3_state_t *)h);
}

void hasher_add(struct hasher *h, struct bytes piece)
{
    XXH3_64bits_update((XXH3_state_t *)h, piece.data, piece.len);
}

uint64_t hasher_value(const struct hasher *h)
{
    return XXH3_64bits_digest((const XXH3_state_t *)h);
}
