#include "base/arena.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { PIECES = 3000, PIECE_MAX = 300, LARGE = 1 << 20 };

static bool holds_only(const uint8_t *piece, size_t size, uint8_t value)
{
    for (size_t at = 0; at < size; at++) {
        if (piece[at] != value)
            return false;
    }
    return true;
}

START_TEST(an_arena_knows_what_was_taken_of_it)
{
    struct arena a = {.block = 4096};
    ck_assert_uint_eq(arena_bytes(&a), 0);
    arena_alloc(&a, 1000);
    ck_assert_uint_eq(arena_bytes(&a), 1008);
    arena_alloc(&a, LARGE);
    ck_assert_uint_eq(arena_bytes(&a), 4096 + LARGE);
    arena_alloc(&a, 10);
    ck_assert_uint_eq(arena_bytes(&a), 4096 + LARGE + 16);
    arena_close(&a);
    ck_assert_uint_eq(arena_bytes(&a), 0);
}
END_TEST

START_TEST(pieces_are_aligned_and_do_not_overlap)
{
    struct arena a = {0};
    struct random r;
    random_open(&r, 9);
    for (int round = 0; round < 3; round++) {
        static uint8_t *pieces[PIECES];
        static size_t sizes[PIECES];
        for (int i = 0; i < PIECES; i++) {
            sizes[i] = i % 1000 == 999 ? LARGE : random_below(&r, PIECE_MAX);
            pieces[i] = arena_alloc(&a, sizes[i]);
            ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], i % 251, sizes[i]);
        }
        for (int i = 0; i < PIECES; i++) {
            ck_assert_msg(holds_only(pieces[i], sizes[i], (uint8_t)(i % 251)), "piece %d was overwritten", i);
        }
        arena_reset(&a);
    }
    arena_close(&a);
}
END_TEST

START_TEST(copies_and_texts_are_the_arenas_own)
{
    struct arena a = {0};
    char from[] = "queue";
    char *text = arena_text(&a, from, 5);
    char *copy = arena_copy(&a, from, 5);
    from[0] = 'x';
    ck_assert_str_eq(text, "queue");
    ck_assert_mem_eq(copy, "queue", 5);
    ck_assert_str_eq(arena_text(&a, NULL, 0), "");
    ck_assert_ptr_nonnull(arena_copy(&a, NULL, 0));
    arena_close(&a);
}
END_TEST

START_TEST(an_arena_may_be_used_again_after_reset_and_after_close)
{
    struct arena a = {0};
    arena_reset(&a);
    arena_alloc(&a, LARGE);
    arena_reset(&a);
    memset(arena_alloc(&a, 100), 1, 100);
    arena_close(&a);
    memset(arena_alloc(&a, 100), 1, 100);
    arena_close(&a);
    arena_close(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("arena");
    TCase *c = tcase_create("arena");
    tcase_add_test(c, an_arena_knows_what_was_taken_of_it);
    tcase_add_test(c, pieces_are_aligned_and_do_not_overlap);
    tcase_add_test(c, copies_and_texts_are_the_arenas_own);
    tcase_add_test(c, an_arena_may_be_used_again_after_reset_and_after_close);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
