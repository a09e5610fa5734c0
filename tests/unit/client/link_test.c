/* The memory of a connection. */
#include <malloc.h>

#include "client/harness.h"

enum { LARGE_BYTES = 40 << 20, LEFT_BYTES_MAX = 8 << 20 };

static size_t memory_in_use(void)
{
    struct mallinfo2 now = mallinfo2(); /* a sanitizer's allocator tells 0 */
    return now.uordblks + now.hblkhd;
}

static void answer_large(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    uint8_t *body = calloc(1, LARGE_BYTES);
    Hato__Message message = HATO__MESSAGE__INIT;
    message.body = (ProtobufCBinaryData){LARGE_BYTES, body};
    Hato__Delivery delivery = HATO__DELIVERY__INIT;
    delivery.message = &message;
    Hato__Delivery *deliveries[] = {&delivery};
    Hato__ReceiveReply receive = HATO__RECEIVE_REPLY__INIT;
    receive.n_deliveries = 1;
    receive.deliveries = deliveries;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = r->id;
    reply.op_case = HATO__REPLY__OP_RECEIVE;
    reply.receive = &receive;
    see(b->user, p, r);
    double_reply(p, &reply);
    free(body);
}

START_TEST(the_memory_of_a_large_reply_is_given_back)
{
    struct harness *h = harness_open(answer_large, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    size_t before = memory_in_use();
    struct outcome o = {0};
    hato_receive(h->client, "jobs", NULL, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_uint_eq(o.deliveries, 1);
    uv_run(&h->loop, UV_RUN_NOWAIT); /* the broker's write is over, too */
    ck_assert_uint_lt(memory_in_use(), before + LEFT_BYTES_MAX);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/link");
    TCase *tc = tcase_create("link");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, the_memory_of_a_large_reply_is_given_back);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
