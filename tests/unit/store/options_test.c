/* What RocksDB is told: what a get costs, in blocks read. */
#include <inttypes.h>

#include "store/fixture.h"
#include "store/internal.h"

enum {
    KEYS = 600000, /* a filter of 10 bits for each is larger than a shard of the block cache */
    BATCH_KEYS = 1000,
    LOOKED_FOR = 1000,
};

static struct bytes key_of_number(char text[24], uint64_t number)
{
    return bytes_of(text, (size_t)snprintf(text, 24, "00k%016" PRIx64, number * UINT64_C(0x9e3779b97f4a7c15)));
}

static void put_keys(struct fixture *f)
{
    char key[24];
    for (uint64_t n = 0; n < KEYS; n++) {
        store_put(f->b, STORE_STATE, key_of_number(key, n), bytes_text("x"));
        if (n % BATCH_KEYS == BATCH_KEYS - 1)
            fixture_write(f);
    }
    ck_assert_int_eq(store_flush(f->s, STORE_STATE, NULL), ERR_OK);
    rocksdb_compact_range_cf(f->s->db, f->s->families[STORE_STATE], NULL, 0, NULL, 0);
}

/* Looks for what is not there; returns how many blocks were read from files for it. */
static uint64_t look_in_vain(struct fixture *f)
{
    char key[24];
    struct buffer value = {0};
    rocksdb_set_perf_level(rocksdb_enable_count);
    rocksdb_perfcontext_t *c = rocksdb_perfcontext_create();
    rocksdb_perfcontext_reset(c);
    for (uint64_t n = KEYS; n < KEYS + LOOKED_FOR; n++)
        ck_assert_int_eq(store_get(f->s, STORE_STATE, key_of_number(key, n), &value, NULL), ERR_NOT_FOUND);
    uint64_t blocks = rocksdb_perfcontext_metric(c, rocksdb_block_read_count);
    rocksdb_perfcontext_destroy(c);
    buffer_close(&value);
    return blocks;
}

START_TEST(what_is_not_there_is_not_looked_for_in_files_again_and_again)
{
    struct fixture f;
    fixture_open(&f, true);
    put_keys(&f);
    ck_assert_uint_gt(look_in_vain(&f), 0); /* else this RocksDB doesn't count */
    ck_assert_uint_eq(look_in_vain(&f), 0);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("options");
    TCase *c = tcase_create("options");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, what_is_not_there_is_not_looked_for_in_files_again_and_again);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
