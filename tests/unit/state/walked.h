/* The work that reading in order makes: what iterators go over to get where they are wanted. A bound of it is one of time that no
 * machine's speed changes. RocksDB alone knows it, since what was deleted is not seen from outside and costs as much. */
#ifndef HATO_TEST_STATE_WALKED_H
#define HATO_TEST_STATE_WALKED_H

#include <rocksdb/c.h>
#include <stdint.h>

/* Keys, deleted ones included, that this thread's iterators have gone over so far. */
static inline uint64_t walked(void)
{
    rocksdb_set_perf_level(rocksdb_enable_count);
    rocksdb_perfcontext_t *c = rocksdb_perfcontext_create();
    uint64_t keys = rocksdb_perfcontext_metric(c, rocksdb_internal_key_skipped_count) +
                    rocksdb_perfcontext_metric(c, rocksdb_internal_delete_skipped_count);
    rocksdb_perfcontext_destroy(c);
    return keys;
}

#endif
