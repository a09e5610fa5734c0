#include "consensus/envelope.h"

#include <check.h>
#include <stdlib.h>

#include "base/random.h"

enum { ENTRIES = 3, HEADER = 40 };

/* A message of three entries, the second of them empty, as its bytes. */
static struct blob *sample(void)
{
    static const uint8_t header[HEADER] = {1, 2, 3};
    const struct raft_entry entries[ENTRIES] = {
        {.index = 300, .term = 2, .kind = RAFT_ENTRY_NORMAL, .data = (const uint8_t *)"first", .len = 5},
        {.index = 301, .term = 3, .kind = RAFT_ENTRY_NORMAL},
        {.index = 302, .term = 1000, .kind = RAFT_ENTRY_CHANGE, .data = (const uint8_t *)"third one", .len = 9},
    };
    const struct raft_message m = {
        .kind = RAFT_APPEND, .header = bytes_of(header, HEADER), .entries = entries, .entry_count = ENTRIES};
    struct buffer b = {0};
    envelope_encode(&m, &b);
    ck_assert_uint_eq(envelope_body_len(&m), 14);
    for (size_t i = 0; i < ENTRIES; i++)
        if (entries[i].len > 0)
            buffer_put(&b, entries[i].data, entries[i].len);
    return blob_adopt(&b);
}

START_TEST(a_message_comes_back_from_its_bytes)
{
    struct blob *b = sample();
    struct raft_message m;
    ck_assert_int_eq(envelope_decode(b, blob_view(b), &m, NULL), ERR_OK);
    ck_assert_uint_eq(m.header.len, HEADER);
    ck_assert_uint_eq(m.header.data[2], 3);
    ck_assert_uint_eq(m.entry_count, ENTRIES);
    ck_assert_uint_eq(m.entries[2].index, 302);
    ck_assert_uint_eq(m.entries[2].term, 1000);
    ck_assert_uint_eq(m.entries[2].kind, RAFT_ENTRY_CHANGE);
    ck_assert_mem_eq(m.entries[2].data, "third one", 9);
    ck_assert_mem_eq(m.entries[0].data, "first", 5);
    ck_assert_ptr_eq(m.entries[0].owner, b);
    ck_assert_uint_eq(m.entries[1].len, 0);
    ck_assert_ptr_null(m.entries[1].owner);
    envelope_free(&m);
    blob_unref(b);
}
END_TEST

START_TEST(an_offered_snapshot_is_told_from_the_header)
{
    /* message {1: MsgSnapshot, 9: {1: "data", 2: {2: 300, 3: 7}}}, as the library writes it */
    static const uint8_t header[] = {0x08, 7, 0x4a, 13, 0x0a, 4, 'd', 'a', 't', 'a', 0x12, 5, 0x10, 0xac, 2, 0x18, 7};
    struct raft_message m = {.header = bytes_of(header, sizeof header)};
    struct raft_snapshot s;
    ck_assert(envelope_snapshot(&m, &s));
    ck_assert_uint_eq(s.index, 300);
    ck_assert_uint_eq(s.term, 7);
    ck_assert(bytes_equal(bytes_of(s.data, s.len), bytes_text("data")));
    m.header.len = 2;
    ck_assert(!envelope_snapshot(&m, &s));
}
END_TEST

START_TEST(a_message_without_entries_is_its_header)
{
    const struct raft_message sent = {.header = bytes_text("header")};
    struct buffer b = {0};
    envelope_encode(&sent, &b);
    struct blob *bytes = blob_adopt(&b);
    struct raft_message m;
    ck_assert_int_eq(envelope_decode(bytes, blob_view(bytes), &m, NULL), ERR_OK);
    ck_assert(bytes_equal(m.header, sent.header));
    ck_assert_ptr_null(m.entries);
    envelope_free(&m);
    blob_unref(bytes);
}
END_TEST

START_TEST(a_message_cut_short_or_too_long_is_refused)
{
    struct blob *b = sample();
    struct raft_message m;
    for (size_t len = 0; len < b->len; len++)
        ck_assert_int_eq(envelope_decode(b, bytes_of(b->data, len), &m, NULL), ERR_PROTOCOL);
    struct buffer longer = {0};
    buffer_put(&longer, b->data, b->len);
    buffer_u8(&longer, 0);
    ck_assert_int_eq(envelope_decode(b, buffer_view(&longer), &m, NULL), ERR_PROTOCOL);
    buffer_close(&longer);
    blob_unref(b);
}
END_TEST

static int decode_of(struct buffer *b)
{
    struct blob *bytes = blob_adopt(b);
    struct raft_message m;
    int code = envelope_decode(bytes, blob_view(bytes), &m, NULL);
    blob_unref(bytes);
    return code;
}

START_TEST(lengths_beyond_the_limits_are_refused)
{
    struct buffer b = {0};
    buffer_u8(&b, 2);
    ck_assert_int_eq(decode_of(&b), ERR_VERSION);
    buffer_u8(&b, 1);
    buffer_varint(&b, RAFT_HEADER_MAX + 1);
    ck_assert_int_eq(decode_of(&b), ERR_TOO_LARGE);
    buffer_u8(&b, 1);
    buffer_varint(&b, 0);
    buffer_varint(&b, UINT64_MAX); /* entries that no frame holds: refused before memory is asked for */
    buffer_u64(&b, 1);
    ck_assert_int_eq(decode_of(&b), ERR_PROTOCOL);
    buffer_u8(&b, 1);
    buffer_varint(&b, 0);
    buffer_varint(&b, 1);
    buffer_u64(&b, 1);
    buffer_u8(&b, 0);
    buffer_varint(&b, 1);
    buffer_varint(&b, (uint64_t)RAFT_ENTRY_MAX + 1);
    ck_assert_int_eq(decode_of(&b), ERR_TOO_LARGE);
}
END_TEST

START_TEST(random_bytes_are_read_or_refused_within_their_bounds)
{
    struct random random;
    random_open(&random, 1);
    size_t good = 0, bad = 0;
    for (int i = 0; i < 20000; i++) {
        struct blob *original = sample();
        struct blob *b = blob_copy(bytes_of(original->data, 1 + (size_t)random_below(&random, original->len)));
        if (random_below(&random, 2) == 0) {
            blob_unref(b);
            b = blob_copy(blob_view(original));
        }
        for (uint64_t n = random_below(&random, 4); n > 0; n--)
            b->data[random_below(&random, b->len)] = (uint8_t)random_next(&random);
        struct raft_message m;
        if (envelope_decode(b, blob_view(b), &m, NULL) == ERR_OK) {
            size_t sum = 0;
            for (size_t e = 0; e < m.entry_count; e++)
                for (size_t at = 0; at < m.entries[e].len; at++)
                    sum += m.entries[e].data[at];
            ck_assert_uint_le(sum, 255 * b->len);
            envelope_free(&m);
            good++;
        } else {
            bad++;
        }
        blob_unref(b);
        blob_unref(original);
    }
    ck_assert_uint_gt(good, 100);
    ck_assert_uint_gt(bad, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("envelope");
    TCase *t = tcase_create("envelope");
    tcase_add_test(t, a_message_comes_back_from_its_bytes);
    tcase_add_test(t, a_message_without_entries_is_its_header);
    tcase_add_test(t, an_offered_snapshot_is_told_from_the_header);
    tcase_add_test(t, a_message_cut_short_or_too_long_is_refused);
    tcase_add_test(t, lengths_beyond_the_limits_are_refused);
    tcase_add_test(t, random_bytes_are_read_or_refused_within_their_bounds);
    tcase_set_timeout(t, 0);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
