#include "log/record.h"

#include "log_fixture.h"

static const char PAYLOAD[13] = {"thirteen byte"};

static struct record sample(void)
{
    return (struct record){.segment = 0x1122334455667788,
                           .previous = 77,
                           .index = 1ull << 40,
                           .term = 9,
                           .durable = 4096,
                           .stored = 13,
                           .raw = 13,
                           .group = 3,
                           .kind = RECORD_ENTRY,
                           .entry_kind = 2,
                           .flags = RECORD_END};
}

static void encode(struct record *r, uint8_t *out)
{
    memset(out, 0, RECORD_HEADER_BYTES + 16);
    memcpy(out + RECORD_HEADER_BYTES, PAYLOAD, sizeof PAYLOAD);
    record_encode(r, bytes_of(out + RECORD_HEADER_BYTES, 13), out);
}

START_TEST(a_record_comes_back_as_it_was)
{
    struct record r = sample(), got;
    uint8_t bytes[RECORD_HEADER_BYTES + 16];
    encode(&r, bytes);
    ck_assert(record_decode(bytes, &got));
    ck_assert(record_verify(bytes, &got));
    ck_assert_uint_eq(record_bytes(&got), RECORD_HEADER_BYTES + 16);
    ck_assert_uint_eq(got.segment, r.segment);
    ck_assert_uint_eq(got.previous, r.previous);
    ck_assert_uint_eq(got.index, r.index);
    ck_assert_uint_eq(got.term, r.term);
    ck_assert_uint_eq(got.durable, r.durable);
    ck_assert_uint_eq(got.group, r.group);
    ck_assert_uint_eq(got.kind, r.kind);
    ck_assert_uint_eq(got.entry_kind, r.entry_kind);
    ck_assert_uint_eq(got.flags, r.flags);
}
END_TEST

START_TEST(every_flipped_bit_is_seen)
{
    struct record r = sample(), got;
    uint8_t bytes[RECORD_HEADER_BYTES + 16];
    encode(&r, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool sound = record_decode(bytes, &got) && record_bytes(&got) <= sizeof bytes && record_verify(bytes, &got);
        ck_assert_msg(!sound, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(impossible_headers_are_refused)
{
    uint8_t bytes[RECORD_HEADER_BYTES + 16];
    struct record got;
    struct record r = sample();
    r.kind = 0;
    encode(&r, bytes);
    ck_assert(!record_decode(bytes, &got));
    r = sample();
    r.kind = RECORD_DURABLE + 1;
    encode(&r, bytes);
    ck_assert(!record_decode(bytes, &got));
    r = sample();
    r.flags = 4;
    encode(&r, bytes);
    ck_assert(!record_decode(bytes, &got));
    r = sample();
    r.raw = LOG_ENTRY_BYTES_MAX + 1;
    r.flags = RECORD_ZSTD;
    encode(&r, bytes);
    ck_assert(!record_decode(bytes, &got));
    r = sample();
    r.raw = 14; /* another length without being compressed */
    encode(&r, bytes);
    ck_assert(!record_decode(bytes, &got));
    r = sample();
    r.group = LOG_GROUP_MAX + 1;
    encode(&r, bytes);
    ck_assert(!record_decode(bytes, &got));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log record");
    TCase *t = tcase_create("record");
    tcase_add_test(t, a_record_comes_back_as_it_was);
    tcase_add_test(t, every_flipped_bit_is_seen);
    tcase_add_test(t, impossible_headers_are_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
