#include <string.h>

#include "store/internal.h"

enum {
    CACHE_DEFAULT = 32 << 20,
    MEMTABLE_DEFAULT = 32 << 20,
    OPEN_FILES_MAX = 500,
    STATE_FILE_BYTES = 16 << 20,
    STATE_LEVEL_BYTES = 64 << 20,
    BODIES_FILE_BYTES = 64 << 20,
    BODIES_LEVEL_BYTES = 1 << 30,
    INDEX_TWO_LEVEL = 2, /* BlockBasedTableOptions::kTwoLevelIndexSearch */
    CHECKSUM_XXH3 = 4,   /* rocksdb::kXXH3 */
    LOG_NOTHING = 6,     /* above all levels of InfoLogLevel */
};

/* Closing must be as a crash, so that there is one way to come back and it is always the one that is tried; the C API
 * has no setter for it. */
static rocksdb_options_t *without_flush_at_close(struct error *e)
{
    rocksdb_options_t *base = rocksdb_options_create();
    rocksdb_options_t *made = rocksdb_options_create();
    char *status = NULL;
    rocksdb_get_options_from_string(base, "avoid_flush_during_shutdown=true", made, &status);
    rocksdb_options_destroy(base);
    if (status == NULL)
        return made;
    rocksdb_options_destroy(made);
    store_status(status, "the store's options", "setting them", e);
    return NULL;
}

static void set_common(rocksdb_options_t *o, uint64_t memtable_bytes, rocksdb_env_t *env)
{
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_env(o, env);
    rocksdb_options_set_db_write_buffer_size(o, memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(o, 3); /* one full stalls all writers, the loops too: two may wait */
    rocksdb_options_set_max_open_files(o, OPEN_FILES_MAX);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    /* A line of its own log that it can't write, on a full disk, is a failed assertion at the next one. What goes wrong is told by the
     * errors it returns, so it writes none. */
    rocksdb_options_set_info_log_level(o, LOG_NOTHING);
    rocksdb_options_set_keep_log_file_num(o, 1);
    rocksdb_options_set_avoid_unnecessary_blocking_io(o, 1); /* files are deleted in the background */
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
}

/* Indexes and filters in parts of a few KiB: the cache takes nothing that is larger than one of its shards (half a MiB), so that the
 * filter of a table with some 420,000 keys would be read anew for each get. */
static rocksdb_block_based_table_options_t *tables(rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_block_based_options_set_index_type(t, INDEX_TWO_LEVEL);
    rocksdb_block_based_options_set_partition_filters(t, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(t, 1);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_checksum(t, CHECKSUM_XXH3);
    return t;
}

/* Small records, rewritten and deleted; many reads are for what is not there (deduplication). */
static void set_state(rocksdb_options_t *o, uint64_t memtable_bytes, rocksdb_cache_t *cache)
{
    rocksdb_options_set_write_buffer_size(o, memtable_bytes / 2);
    rocksdb_options_set_memtable_whole_key_filtering(o, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.02);
    rocksdb_options_set_target_file_size_base(o, STATE_FILE_BYTES);
    rocksdb_options_set_max_bytes_for_level_base(o, STATE_LEVEL_BYTES);
    rocksdb_block_based_table_options_t *t = tables(cache);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10)); /* takes it */
    rocksdb_block_based_options_set_block_size(t, 8 << 10);
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
}

/* Written once in order, read by key that is there, dropped by files: big files, no filter. */
static void set_bodies(rocksdb_options_t *o, uint64_t memtable_bytes, rocksdb_cache_t *cache)
{
    rocksdb_options_set_write_buffer_size(o, memtable_bytes / 4);
    rocksdb_options_set_target_file_size_base(o, BODIES_FILE_BYTES);
    rocksdb_options_set_max_bytes_for_level_base(o, BODIES_LEVEL_BYTES);
    rocksdb_block_based_table_options_t *t = tables(cache);
    rocksdb_block_based_options_set_block_size(t, 16 << 10);
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
}

rocksdb_options_t *store_options_create(enum store_family f, const struct store_options *o, rocksdb_env_t *env,
                                        rocksdb_cache_t *cache, struct error *e)
{
    rocksdb_options_t *made = without_flush_at_close(e);
    if (made == NULL)
        return NULL;
    uint64_t memtable_bytes = o->memtable_bytes != 0 ? o->memtable_bytes : MEMTABLE_DEFAULT;
    set_common(made, memtable_bytes, env);
    if (f == STORE_STATE)
        set_state(made, memtable_bytes, cache);
    else
        set_bodies(made, memtable_bytes, cache);
    return made;
}
