#include "state/rig.h"

static struct rig rig;
static uint64_t queue;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs"), NULL);
}

static void teardown(void)
{
    rig_close(&rig);
}

START_TEST(a_message_sent_is_received_once_and_gone_after_its_ack)
{
    rig_send(&rig, queue, (struct rig_message){.body = "hello"});
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    struct received got = rig_receive_one(&rig, queue, 30000);
    rig_expect_body(&rig, got.ref, "hello");
    ck_assert_uint_eq(got.receive_count, 1);
    ck_assert_uint_eq(got.lease_until_ms, rig.now_ms + 30000);
    rig_receive_none(&rig, queue);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    struct queue_counts c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready + c.in_flight + c.delayed + c.bytes, 0);
    ck_assert_uint_eq(c.acked_total, 1);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_RECEIPT_STALE);
    ck_assert_uint_eq(rig_keys(&rig, KEY_CHUNK) + rig_keys(&rig, KEY_TOUCH), 0);
}
END_TEST

START_TEST(messages_come_in_the_order_sent_whatever_the_batches)
{
    for (size_t i = 0; i < 10; i++)
        rig_send_many(&rig, queue, NULL, 100);
    uint64_t last = 0;
    for (size_t i = 0; i < 1000;) {
        const struct received *got = rig_receive(&rig, queue, 77, 1000);
        size_t n = rig_reply(&rig)->count;
        ck_assert_uint_gt(n, 0);
        for (size_t k = 0; k < n; k++, i++) {
            char body[16];
            snprintf(body, sizeof body, "%zu", i % 100);
            rig_expect_body(&rig, got[k].ref, body);
            ck_assert_uint_gt(got[k].sequence, last);
            last = got[k].sequence;
        }
    }
    rig_receive_none(&rig, queue);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("state/receive");
    TCase *t = tcase_create("receive");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_message_sent_is_received_once_and_gone_after_its_ack);
    tcase_add_test(t, messages_come_in_the_order_sent_whatever_the_batches);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
