#include "shard/peer.h"

#include <check.h>
#include <stdlib.h>

#include "base/random.h"

static struct cursor opened(const struct buffer *frame, enum peer_kind kind)
{
    struct cursor rest;
    enum peer_kind found;
    struct error e = {0};
    ck_assert_msg(peer_open(buffer_view(frame), &rest, &found, &e) == ERR_OK, "%s", e.message);
    ck_assert_int_eq(found, kind);
    return rest;
}

START_TEST(what_one_node_writes_the_other_reads)
{
    struct buffer b = {0};
    peer_put_accept(&b, &(struct peer_accept){.source = 513, .round = 77});
    buffer_put(&b, "items", 5);
    struct cursor rest = opened(&b, PEER_ACCEPT);
    struct peer_accept accept;
    ck_assert_int_eq(peer_get_accept(&rest, &accept, NULL), ERR_OK);
    ck_assert_uint_eq(accept.source, 513);
    ck_assert_uint_eq(accept.round, 77);
    ck_assert(bytes_equal(accept.payload, bytes_text("items")));

    buffer_clear(&b);
    peer_put_accepted(&b, &(struct peer_accepted){.target = 3, .round = 78, .code = 9, .codes = bytes_of("\0\5", 2)});
    rest = opened(&b, PEER_ACCEPTED);
    struct peer_accepted accepted;
    ck_assert_int_eq(peer_get_accepted(&rest, &accepted, NULL), ERR_OK);
    ck_assert_uint_eq(accepted.target, 3);
    ck_assert_uint_eq(accepted.round, 78);
    ck_assert_uint_eq(accepted.code, 9);
    ck_assert(bytes_equal(accepted.codes, bytes_of("\0\5", 2)));

    buffer_clear(&b);
    peer_put_want(&b, &(struct peer_want){.id = 5, .phase = SNAPSHOT_STATE, .after = bytes_text("key")});
    rest = opened(&b, PEER_WANT);
    struct peer_want want;
    ck_assert_int_eq(peer_get_want(&rest, &want, NULL), ERR_OK);
    ck_assert_uint_eq(want.id, 5);
    ck_assert_int_eq(want.phase, SNAPSHOT_STATE);
    ck_assert(bytes_equal(want.after, bytes_text("key")));

    buffer_clear(&b);
    struct peer_part sent = {
        .id = 6, .phase = SNAPSHOT_BODIES, .last = true, .after = bytes_text("a"), .position = bytes_text("bc")};
    sent.hash = 99;
    peer_put_part(&b, &sent);
    buffer_put(&b, "records", 7);
    rest = opened(&b, PEER_PART);
    struct peer_part part;
    struct bytes records;
    ck_assert_int_eq(peer_get_part(&rest, &part, &records, NULL), ERR_OK);
    ck_assert_uint_eq(part.id, 6);
    ck_assert_int_eq(part.phase, SNAPSHOT_BODIES);
    ck_assert(part.last);
    ck_assert(bytes_equal(part.after, sent.after));
    ck_assert(bytes_equal(part.position, sent.position));
    ck_assert_uint_eq(part.hash, 99);
    ck_assert(bytes_equal(records, bytes_text("records")));
    buffer_close(&b);
}
END_TEST

START_TEST(another_version_and_impossible_phases_are_refused)
{
    const uint8_t later[] = {PEER_VERSION + 1, PEER_RAFT};
    struct cursor rest;
    enum peer_kind kind;
    ck_assert_int_eq(peer_open(bytes_of(later, sizeof later), &rest, &kind, NULL), ERR_VERSION);
    struct buffer b = {0};
    struct peer_want want;
    peer_put_want(&b, &(struct peer_want){.phase = SNAPSHOT_GONE});
    rest = opened(&b, PEER_WANT);
    ck_assert_int_eq(peer_get_want(&rest, &want, NULL), ERR_PROTOCOL);
    buffer_clear(&b);
    peer_put_want(&b, &(struct peer_want){.phase = (enum snapshot_phase)7});
    rest = opened(&b, PEER_WANT);
    ck_assert_int_eq(peer_get_want(&rest, &want, NULL), ERR_PROTOCOL);
    buffer_close(&b);
}
END_TEST

/* Read by whatever kind they claim to be. */
static void read_any(struct bytes frame)
{
    struct cursor rest;
    enum peer_kind kind;
    struct error e;
    union {
        struct peer_accept accept;
        struct peer_accepted accepted;
        struct peer_want want;
        struct peer_part part;
    } out;
    struct bytes records;
    uint64_t question, term;
    if (peer_open(frame, &rest, &kind, &e) != ERR_OK)
        return;
    switch (kind) {
    case PEER_ACCEPT:
        peer_get_accept(&rest, &out.accept, &e);
        break;
    case PEER_ACCEPTED:
        peer_get_accepted(&rest, &out.accepted, &e);
        break;
    case PEER_WANT:
        peer_get_want(&rest, &out.want, &e);
        break;
    case PEER_PART:
        if (peer_get_part(&rest, &out.part, &records, &e) == ERR_OK)
            ck_assert_uint_le(out.part.after.len + out.part.position.len + records.len, frame.len);
        break;
    case PEER_MEMBER:
        peer_get_member(&rest, &question, &e);
        break;
    case PEER_LEAD:
        peer_get_lead(&rest, &term, &e);
        break;
    case PEER_STRANGER:
        peer_get_stranger(&rest, &question, &term, &e);
        break;
    case PEER_RAFT:
    case PEER_OFFER:
        break;
    }
}

START_TEST(random_bytes_are_read_or_refused_within_their_bounds)
{
    struct random r;
    random_open(&r, 11);
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[48];
        size_t len = random_below(&r, sizeof bytes);
        for (size_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)random_next(&r);
        if (len > 1) {
            bytes[0] = PEER_VERSION;
            bytes[1] = (uint8_t)random_below(&r, 9);
        }
        uint8_t *exact = malloc(len > 0 ? len : 1);
        memcpy(exact, bytes, len);
        read_any(bytes_of(exact, len));
        free(exact);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peer");
    TCase *t = tcase_create("peer");
    tcase_add_test(t, what_one_node_writes_the_other_reads);
    tcase_add_test(t, another_version_and_impossible_phases_are_refused);
    tcase_add_test(t, random_bytes_are_read_or_refused_within_their_bounds);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
