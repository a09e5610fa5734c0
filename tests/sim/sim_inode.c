#include "sim/sim_inode.h"

#include <string.h>

#include "base/disk.h"
#include "base/memory.h"

void sim_image_resize(struct sim_image *m, uint64_t len)
{
    if (len > m->capacity) {
        uint64_t capacity = m->capacity * 2 > len ? m->capacity * 2 : len;
        uint8_t *bytes = memory_zero(capacity, 1);
        if (m->len > 0)
            memcpy(bytes, m->bytes, m->len);
        memory_free(m->bytes);
        m->bytes = bytes;
        m->capacity = capacity;
    }
    if (len < m->len)
        memset(m->bytes + len, 0, m->len - len);
    m->len = len;
}

void sim_image_assign(struct sim_image *to, const struct sim_image *from)
{
    sim_image_resize(to, from->len);
    if (from->len > 0)
        memcpy(to->bytes, from->bytes, from->len);
}

static uint64_t image_block(const struct sim_image *m, uint64_t block, uint8_t *out)
{
    uint64_t at = block * DISK_BLOCK_BYTES;
    uint64_t len = at >= m->len ? 0 : m->len - at;
    if (len > DISK_BLOCK_BYTES)
        len = DISK_BLOCK_BYTES;
    memset(out, 0, DISK_BLOCK_BYTES);
    if (len > 0)
        memcpy(out, m->bytes + at, len);
    return len;
}

struct sim_inode *sim_inode_create(struct sim_inode **list)
{
    struct sim_inode *i = memory_zero(1, sizeof *i);
    i->next = *list;
    *list = i;
    return i;
}

void sim_inode_destroy(struct sim_inode *i)
{
    memory_free(i->live.bytes);
    memory_free(i->synced.bytes);
    memory_free(i->versions);
    memory_free(i);
}

void sim_inode_remember(struct sim_inode *i, uint64_t block)
{
    if (i->versions_n == i->versions_capacity) {
        i->versions_capacity = i->versions_capacity * 2 + 16;
        i->versions = memory_grow(i->versions, i->versions_capacity, sizeof *i->versions);
    }
    struct sim_version *v = &i->versions[i->versions_n++];
    v->block = block;
    image_block(&i->live, block, v->bytes);
}

void sim_inode_sync(struct sim_inode *i)
{
    sim_image_resize(&i->synced, i->live.len);
    for (size_t v = 0; v < i->versions_n; v++) {
        uint64_t at = i->versions[v].block * DISK_BLOCK_BYTES;
        uint8_t bytes[DISK_BLOCK_BYTES];
        uint64_t len = image_block(&i->live, i->versions[v].block, bytes);
        if (len > 0)
            memcpy(i->synced.bytes + at, bytes, len);
    }
    i->versions_n = 0;
}

static void image_put_version(struct sim_image *m, const struct sim_version *v)
{
    uint64_t at = v->block * DISK_BLOCK_BYTES;
    if (at >= m->len)
        return;
    uint64_t len = m->len - at < DISK_BLOCK_BYTES ? m->len - at : DISK_BLOCK_BYTES;
    memcpy(m->bytes + at, v->bytes, len);
}

/* Every block on its own: what was synced, or any of the versions since, all alike likely. */
static void crash_scattered(struct sim_inode *i, struct random *r)
{
    uint64_t blocks = i->synced.len / DISK_BLOCK_BYTES + 1;
    uint32_t *seen = memory_zero(blocks, sizeof *seen);
    for (size_t v = 0; v < i->versions_n; v++) {
        uint64_t block = i->versions[v].block;
        if (block < blocks && random_below(r, ++seen[block] + 1) == 0)
            image_put_version(&i->synced, &i->versions[v]);
    }
    memory_free(seen);
}

static void crash_prefix(struct sim_inode *i, size_t n)
{
    for (size_t v = 0; v < n; v++)
        image_put_version(&i->synced, &i->versions[v]);
}

void sim_inode_crash(struct sim_inode *i, struct random *r)
{
    uint64_t mode = random_below(r, 6);
    if (mode != 0 && i->live.len != i->synced.len && random_below(r, 4) != 0)
        sim_image_resize(&i->synced, i->live.len);
    if (mode == 1)
        crash_prefix(i, i->versions_n);
    else if (mode == 2)
        crash_prefix(i, random_below(r, i->versions_n + 1));
    else if (mode > 2)
        crash_scattered(i, r);
    i->versions_n = 0;
    sim_image_assign(&i->live, &i->synced);
}
