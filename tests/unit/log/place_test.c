#include "log/place.h"

#include "log/terms.h"
#include "log_fixture.h"

enum { N = 2000 };

/* Where every entry really is. */
struct truth {
    struct place at[N + 2];
    uint64_t first, last;
};

/* From the point found a walk over entries that follow each other in one segment reaches the entry. */
static void check(const struct places *p, const struct truth *t)
{
    for (uint64_t i = t->first; i <= t->last; i++) {
        const struct place *found = places_find(p, i);
        ck_assert_ptr_nonnull(found);
        ck_assert_uint_le(found->index, i);
        ck_assert_uint_eq(found->segment, t->at[i].segment);
        if (found->index >= t->first)
            ck_assert_uint_eq(found->offset, t->at[found->index].offset);
        uint64_t own = 0;
        for (uint64_t j = found->index < t->first ? t->first : found->index; j < i; j++)
            own += t->at[j].bytes;
        ck_assert_uint_le(own, PLACE_SPARSE_BYTES + 3000);
        ck_assert_uint_le(t->at[i].offset - found->offset, 50000 + 20000);
    }
}

static void add(struct places *p, struct truth *t, struct random *r, uint64_t *segment, uint32_t *offset)
{
    if (random_below(r, 60) == 0) {
        ++*segment;
        *offset = 4096;
    }
    *offset += (uint32_t)random_below(r, 20) == 0 ? 20000 : 0; /* others write too */
    struct place entry = {.index = ++t->last, .segment = *segment, .offset = *offset};
    entry.bytes = (uint32_t)(64 + random_below(r, 3000));
    *offset += entry.bytes;
    t->at[t->last] = entry;
    places_add(p, entry, 50000);
}

START_TEST(a_point_before_every_entry_is_near)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct random r;
        random_open(&r, seed);
        struct places p = {0};
        static struct truth t;
        t.first = 1;
        t.last = 0;
        uint64_t segment = 1;
        uint32_t offset = 4096;
        while (t.last < N) {
            uint64_t what = random_below(&r, 50);
            if (what == 0 && t.last > t.first) {
                uint64_t from = t.last - random_below(&r, t.last - t.first < 30 ? t.last - t.first : 30);
                places_truncate(&p, from);
                t.last = from - 1;
            } else if (what == 1 && t.last > t.first + 10) {
                t.first += random_below(&r, t.last - t.first);
                places_compact(&p, t.first);
            } else {
                add(&p, &t, &r, &segment, &offset);
            }
            if (what == 2)
                check(&p, &t);
        }
        check(&p, &t);
        ck_assert_uint_eq(places_find(&p, t.first)->segment, t.at[t.first].segment);
        const struct place *beyond = places_beyond(&p, t.at[t.first].segment);
        if (beyond != NULL) {
            ck_assert_uint_eq(t.at[beyond->index].segment, beyond->segment);
            ck_assert_uint_eq(t.at[beyond->index - 1].segment, t.at[t.first].segment);
        }
        places_close(&p);
    }
}
END_TEST

START_TEST(tiny_entries_cost_below_one_percent)
{
    struct places p = {0};
    uint64_t bytes = 0;
    for (uint64_t i = 1; i <= 500000; i++, bytes += 80)
        places_add(&p, (struct place){i, bytes >> 26, (uint32_t)(bytes & ((1 << 26) - 1)), 80, false}, 1 << 18);
    ck_assert_uint_lt(p.n * sizeof(struct place), bytes / 100);
    places_close(&p);
}
END_TEST

START_TEST(terms_are_those_of_the_entries_after_any_change)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct random r;
        random_open(&r, seed);
        static uint64_t truth[N + 2];
        uint64_t base = 0, last = 0, term = 1;
        truth[0] = 0;
        struct terms t;
        terms_init(&t, 0, 0);
        for (int step = 0; step < 1500 && last < N; step++) {
            uint64_t what = random_below(&r, 40);
            if (what == 0 && last > base) {
                uint64_t from = base + 1 + random_below(&r, last - base);
                terms_truncate(&t, from);
                last = from - 1;
                term++;
            } else if (what == 1 && last > base) {
                base += random_below(&r, last - base + 1);
                terms_compact(&t, base, truth[base]);
            } else {
                term += random_below(&r, 10) == 0;
                truth[++last] = term;
                terms_append(&t, term);
            }
            uint64_t got;
            ck_assert_uint_eq(t.last, last);
            ck_assert_uint_eq(terms_base(&t), base);
            uint64_t i = base + random_below(&r, last - base + 1);
            ck_assert(terms_find(&t, i, &got));
            ck_assert_uint_eq(got, truth[i]);
            ck_assert(!terms_find(&t, last + 1, &got));
            ck_assert(base == 0 || !terms_find(&t, base - 1, &got));
        }
        terms_close(&t);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log place");
    TCase *t = tcase_create("place");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, a_point_before_every_entry_is_near);
    tcase_add_test(t, tiny_entries_cost_below_one_percent);
    tcase_add_test(t, terms_are_those_of_the_entries_after_any_change);
    suite_add_tcase(s, t);
    return run_suite(s);
}
