#include "state/identity.h"

#include "base/utf8.h"
#include "state/keyspace.h"

enum { SHARDS = 8 };
#define SECRET UINT64_C(0x0123456789abcdef)

static int queue_name(const char *name, struct error *e)
{
    return identity_check_queue(bytes_text(name), "name", e);
}

static int function_name(const char *name, struct error *e)
{
    return identity_check_function(bytes_text(name), "name", e);
}

START_TEST(good_names_are_taken)
{
    char longest[81];
    memset(longest, 'q', 80);
    longest[80] = '\0';
    ck_assert_int_eq(queue_name("jobs", NULL), ERR_OK);
    ck_assert_int_eq(queue_name("A-Z_09", NULL), ERR_OK);
    ck_assert_int_eq(queue_name("orders.fifo", NULL), ERR_OK);
    ck_assert_int_eq(queue_name("q", NULL), ERR_OK);
    ck_assert_int_eq(queue_name(longest, NULL), ERR_OK);
    memcpy(longest + 75, ".fifo", 5);
    ck_assert_int_eq(queue_name(longest, NULL), ERR_OK);
    longest[64] = '\0';
    ck_assert_int_eq(function_name(longest, NULL), ERR_OK);
    ck_assert_int_eq(identity_check_account(bytes_text("000000000000"), "account", NULL), ERR_OK);
    ck_assert_int_eq(identity_check_region(bytes_text("us-east-1"), "region", NULL), ERR_OK);
}
END_TEST

START_TEST(every_illegal_character_is_refused_anywhere_in_a_name)
{
    const char *legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    for (int c = 0; c < 256; c++) {
        bool good = c != 0 && strchr(legal, c) != NULL;
        for (size_t at = 0; at < 3; at++) {
            char name[3] = {'a', 'b', 'c'};
            name[at] = (char)c;
            struct error e = {0};
            int code = identity_check_queue(bytes_of(name, 3), "name", &e);
            ck_assert_int_eq(code, good ? ERR_OK : ERR_INVALID);
            ck_assert_int_eq(identity_check_function(bytes_of(name, 3), "name", NULL), code);
            if (code != ERR_OK)
                ck_assert_str_eq(e.field, "name");
        }
    }
}
END_TEST

START_TEST(a_refused_name_is_shown_as_it_is_with_what_can_not_be_printed_escaped)
{
    static const char *const names[][2] = {
        {"caf\xc3\xa9 \xe9\xb3\xa9", "\"caf\xc3\xa9 \xe9\xb3\xa9\""}, /* e with acute, a pigeon */
        {"a\xff\xc3", "\"a\\xff\\xc3\""},
        {"a\nb\x1b\"\xc2\x9b", "\"a\\x0ab\\x1b\\x22\\xc2\\x9b\""},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error e = {0};
        ck_assert_int_eq(identity_check_queue(bytes_text(names[i][0]), "name", &e), ERR_INVALID);
        ck_assert_msg(strstr(e.message, names[i][1]) != NULL, "no %s in: %s", names[i][1], e.message);
    }
    struct error e = {0};
    char pigeons[61] = "";
    for (size_t at = 0; at < 60; at += 3)
        snprintf(pigeons + at, sizeof pigeons - at, "%s",
                 at < 57 ? "\xe9\xb3\xa9"
                         : "\xe9"
                           "ab"); /* the last is cut */
    ck_assert_int_eq(identity_check_queue(bytes_text(pigeons), "name", &e), ERR_INVALID);
    ck_assert(utf8_valid(bytes_text(e.message)));
    ck_assert_ptr_nonnull(strstr(e.message, "\xe9\xb3\xa9...\""));
}
END_TEST

START_TEST(bad_names_are_refused_with_field_and_limit)
{
    struct error e = {0};
    char long_name[82];
    memset(long_name, 'q', 81);
    long_name[81] = '\0';
    ck_assert_int_eq(queue_name(long_name, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "80"));
    long_name[65] = '\0';
    ck_assert_int_eq(function_name(long_name, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "64"));
    ck_assert_int_eq(queue_name("", &e), ERR_INVALID);
    ck_assert_int_eq(queue_name(".fifo", &e), ERR_INVALID);
    ck_assert_int_eq(queue_name("a.fifo.fifo", &e), ERR_INVALID);
    ck_assert_int_eq(queue_name("a.FIFO", &e), ERR_INVALID);
    ck_assert_int_eq(function_name("f.fifo", &e), ERR_INVALID);
    ck_assert_int_eq(identity_check_account(bytes_text("00000000000"), "account", &e), ERR_INVALID);
    ck_assert_int_eq(identity_check_account(bytes_text("00000000000a"), "account", &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "account");
    ck_assert_int_eq(identity_check_region(bytes_text(""), "region", &e), ERR_INVALID);
    ck_assert_int_eq(identity_check_region(bytes_text("US-east"), "region", &e), ERR_INVALID);
    ck_assert_int_eq(identity_check_region(bytes_text("123456789012345678901234567890123"), "region", &e), ERR_INVALID);
}
END_TEST

START_TEST(full_names_and_arns_come_apart_as_they_were_put_together)
{
    char full[IDENTITY_NAME_MAX + 1];
    char arn[IDENTITY_ARN_MAX + 1];
    struct identity id;
    struct identity again;
    size_t len = identity_full_name(full, bytes_text("123456789012"), bytes_text("eu-west-1"), bytes_text("a.fifo"));
    ck_assert_str_eq(full, "123456789012:eu-west-1:a.fifo");
    ck_assert_uint_eq(len, strlen(full));
    ck_assert_int_eq(identity_split_queue(bytes_text(full), "queue", &id, NULL), ERR_OK);
    ck_assert(bytes_equal(id.name, bytes_text("a.fifo")));
    ck_assert(identity_is_fifo(id.name) && identity_is_fifo(bytes_text(full)));
    len = identity_arn(arn, &id);
    ck_assert_str_eq(arn, "arn:aws:sqs:eu-west-1:123456789012:a.fifo");
    ck_assert_uint_eq(len, strlen(arn));
    ck_assert_int_eq(identity_arn_parse(bytes_text(arn), "arn", &again, NULL), ERR_OK);
    ck_assert(bytes_equal(again.account, id.account) && bytes_equal(again.region, id.region) &&
              bytes_equal(again.name, id.name));
}
END_TEST

START_TEST(hostile_full_names_and_arns_are_refused)
{
    struct identity id;
    struct error e = {0};
    const char *names[] = {"",
                           ":",
                           "::",
                           ":::",
                           "jobs",
                           "000000000000:us-east-1",
                           "000000000000:us-east-1:",
                           "000000000000:us-east-1:a:b",
                           "000000000000::a",
                           ":us-east-1:a",
                           "000000000000:us-east-1:a b",
                           " 000000000000:us-east-1:a"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(identity_split_queue(bytes_text(names[i]), "queue", &id, &e), ERR_INVALID);
        ck_assert_str_eq(e.field, "queue");
    }
    const char *arns[] = {"",
                          "arn:aws:sqs:",
                          "arn:aws:sns:us-east-1:000000000000:a",
                          "arn:aws:sqs:us-east-1:000000000000",
                          "arn:aws:sqs:us-east-1:000000000000:a:b",
                          "ARN:aws:sqs:us-east-1:000000000000:a"};
    for (size_t i = 0; i < sizeof arns / sizeof arns[0]; i++)
        ck_assert_int_eq(identity_arn_parse(bytes_text(arns[i]), "arn", &id, &e), ERR_INVALID);
    char noise[200];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 37);
    for (size_t len = 0; len <= sizeof noise; len++) {
        ck_assert_int_eq(identity_split_queue(bytes_of(noise, len), "queue", &id, &e), ERR_INVALID);
        for (const char *c = e.message; *c != '\0'; c++)
            ck_assert(*c >= 0x20 && *c < 0x7f);
    }
}
END_TEST

/* Where queues are: these must never change. */
START_TEST(the_shard_of_a_name_is_the_same_for_ever)
{
    ck_assert_uint_eq(identity_shard_of(bytes_text("000000000000:us-east-1:jobs"), SHARDS), 8);
    ck_assert_uint_eq(identity_shard_of(bytes_text("000000000000:us-east-1:jobs-dead"), SHARDS), 7);
    ck_assert_uint_eq(identity_shard_of(bytes_text("123456789012:eu-west-1:orders.fifo"), 64), 18);
    ck_assert_uint_eq(identity_shard_of(bytes_text("anything"), 1), 1);
}
END_TEST

START_TEST(names_are_spread_over_all_shards)
{
    unsigned counts[SHARDS + 1] = {0};
    for (int i = 0; i < 8000; i++) {
        char name[64];
        snprintf(name, sizeof name, "000000000000:us-east-1:queue-%d", i);
        uint16_t shard = identity_shard_of(bytes_text(name), SHARDS);
        ck_assert(shard >= 1 && shard <= SHARDS);
        counts[shard]++;
    }
    for (int s = 1; s <= SHARDS; s++)
        ck_assert(counts[s] > 850 && counts[s] < 1150);
}
END_TEST

START_TEST(a_message_id_reads_back_what_it_was_made_from)
{
    char text[IDENTITY_MESSAGE_ID_LEN + 1];
    uint64_t queue = 0;
    uint64_t sequence = 0;
    identity_message_id(text, UINT64_C(0x0003000000000a0b), UINT64_C(0xfedcba9876543210));
    ck_assert_str_eq(text, "00030000-0000-0a0b-fedc-ba9876543210");
    ck_assert_int_eq(identity_message_id_parse(bytes_text(text), "id", &queue, &sequence, NULL), ERR_OK);
    ck_assert_uint_eq(queue, UINT64_C(0x0003000000000a0b));
    ck_assert_uint_eq(sequence, UINT64_C(0xfedcba9876543210));
    ck_assert_uint_eq(identity_queue_shard(queue), 3);
    ck_assert_uint_eq(identity_queue_id(3, 0xa0b), queue);
}
END_TEST

START_TEST(anything_but_a_message_id_is_refused)
{
    char good[] = "00030000-0000-0a0b-fedc-ba9876543210";
    uint64_t queue;
    uint64_t sequence;
    for (size_t at = 0; at < sizeof good - 1; at++)
        for (int c = 0; c < 256; c++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[at] = (char)c;
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool fits = good[at] == '-' ? c == '-' : digit;
            ck_assert_int_eq(identity_message_id_parse(bytes_of(text, 36), "id", &queue, &sequence, NULL),
                             fits ? ERR_OK : ERR_INVALID);
        }
    for (size_t len = 0; len < 36; len++)
        ck_assert_int_eq(identity_message_id_parse(bytes_of(good, len), "id", &queue, &sequence, NULL), ERR_INVALID);
    ck_assert_int_eq(identity_message_id_parse(bytes_of(good, 37), "id", &queue, &sequence, NULL), ERR_INVALID);
}
END_TEST

static struct receipt example(void)
{
    return (struct receipt){.queue = identity_queue_id(3, 17), .sequence = 12345, .lease = UINT64_C(0xabcdef0123)};
}

/* The bytes were made with another implementation of SipHash-2-4. */
START_TEST(a_receipt_is_the_same_bytes_for_ever)
{
    uint8_t out[IDENTITY_RECEIPT_LEN];
    char text[2 * IDENTITY_RECEIPT_LEN + 1];
    struct receipt r = example();
    receipt_encode(out, &r, SECRET);
    for (size_t i = 0; i < sizeof out; i++)
        snprintf(text + 2 * i, 3, "%02x", out[i]);
    ck_assert_str_eq(text, "01110000000000030039300000000000002301efcdab0000005ebae5a2298b1294");
}
END_TEST

START_TEST(a_receipt_gives_back_its_lease)
{
    uint8_t out[IDENTITY_RECEIPT_LEN];
    struct receipt r = example();
    struct receipt read = {0};
    receipt_encode(out, &r, SECRET);
    ck_assert_uint_eq(receipt_queue(bytes_of(out, sizeof out)), r.queue);
    ck_assert_int_eq(receipt_decode(bytes_of(out, sizeof out), r.queue, SECRET, &read, NULL), ERR_OK);
    ck_assert_uint_eq(read.queue, r.queue);
    ck_assert_uint_eq(read.sequence, r.sequence);
    ck_assert_uint_eq(read.lease, r.lease);
}
END_TEST

START_TEST(a_forged_receipt_is_refused_whatever_bit_is_changed)
{
    uint8_t out[64] = {0};
    struct receipt r = example();
    struct receipt read;
    receipt_encode(out, &r, SECRET);
    for (size_t bit = 0; bit < (size_t)IDENTITY_RECEIPT_LEN * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1U << bit % 8);
        ck_assert_int_eq(receipt_decode(bytes_of(out, IDENTITY_RECEIPT_LEN), r.queue, SECRET, &read, NULL),
                         ERR_RECEIPT_INVALID);
        out[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t len = 0; len <= sizeof out; len++)
        ck_assert_int_eq(receipt_decode(bytes_of(out, len), r.queue, SECRET, &read, NULL),
                         len == IDENTITY_RECEIPT_LEN ? ERR_OK : ERR_RECEIPT_INVALID);
}
END_TEST

START_TEST(a_receipt_of_another_queue_or_shard_is_refused)
{
    uint8_t out[IDENTITY_RECEIPT_LEN];
    struct receipt r = example();
    struct receipt read;
    struct error e = {0};
    receipt_encode(out, &r, SECRET);
    ck_assert_int_eq(receipt_decode(bytes_of(out, sizeof out), r.queue + 1, SECRET, &read, &e), ERR_RECEIPT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "another queue"));
    ck_assert_int_eq(receipt_decode(bytes_of(out, sizeof out), r.queue, SECRET ^ 1, &read, &e), ERR_RECEIPT_INVALID);
    ck_assert_uint_eq(receipt_queue(bytes_of(out, sizeof out - 1)), 0);
    ck_assert_uint_eq(receipt_queue(bytes_of(NULL, 0)), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("identity");
    TCase *c = tcase_create("identity");
    tcase_add_test(c, good_names_are_taken);
    tcase_add_test(c, every_illegal_character_is_refused_anywhere_in_a_name);
    tcase_add_test(c, a_refused_name_is_shown_as_it_is_with_what_can_not_be_printed_escaped);
    tcase_add_test(c, bad_names_are_refused_with_field_and_limit);
    tcase_add_test(c, full_names_and_arns_come_apart_as_they_were_put_together);
    tcase_add_test(c, hostile_full_names_and_arns_are_refused);
    tcase_add_test(c, the_shard_of_a_name_is_the_same_for_ever);
    tcase_add_test(c, names_are_spread_over_all_shards);
    tcase_add_test(c, a_message_id_reads_back_what_it_was_made_from);
    tcase_add_test(c, anything_but_a_message_id_is_refused);
    tcase_add_test(c, a_receipt_is_the_same_bytes_for_ever);
    tcase_add_test(c, a_receipt_gives_back_its_lease);
    tcase_add_test(c, a_forged_receipt_is_refused_whatever_bit_is_changed);
    tcase_add_test(c, a_receipt_of_another_queue_or_shard_is_refused);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
