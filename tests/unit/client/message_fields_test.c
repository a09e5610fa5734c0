/* Every field of a message reaches the wire and comes back. */
#include "client/fields.h"

/* What was sent comes back as peeked, with a history. */
static Hato__Message *sent;
static const char *moved_from = "000000000000:us-east-1:jobs";

static void reply_peek(struct double_peer *p, uint64_t id)
{
    Hato__Provenance provenance = HATO__PROVENANCE__INIT;
    provenance.source_queue = text(moved_from);
    provenance.message_id = text("m1");
    provenance.sent_ms = 1;
    provenance.attempts = 2;
    provenance.first_received_ms = 3;
    provenance.moved_ms = 4;
    provenance.reason = text("max-receives");
    provenance.last_error = text("boom");
    provenance.last_status = 500;
    sent->provenance = &provenance;
    Hato__PeekedMessage peeked = HATO__PEEKED_MESSAGE__INIT;
    peeked.message_id = text("m2");
    peeked.sequence = 5;
    peeked.state = text("delayed");
    peeked.sent_ms = 6;
    peeked.receive_count = 7;
    peeked.due_ms = 8;
    peeked.halted_ms = 9;
    peeked.last_error = text("late");
    peeked.message = sent;
    Hato__PeekedMessage *list[] = {&peeked};
    Hato__PeekReply peek = HATO__PEEK_REPLY__INIT;
    peek.n_messages = 1;
    peek.messages = list;
    peek.next = text("m3");
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_PEEK;
    reply.peek = &peek;
    double_reply(p, &reply);
    sent->provenance = NULL;
}

static void answer(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    (void)b;
    switch (r->op_case) {
    case HATO__REQUEST__OP_SEND: {
        size_t len = hato__message__get_packed_size(r->send->messages[0]);
        uint8_t *packed = malloc(len);
        hato__message__pack(r->send->messages[0], packed);
        sent = hato__message__unpack(NULL, len, packed);
        free(packed);
        double_stored(p, r->id, r->send);
        break;
    }
    case HATO__REQUEST__OP_PEEK:
        ck_assert_str_eq(r->peek->queue, "jobs");
        ck_assert_uint_eq(r->peek->max_messages, 3);
        ck_assert_str_eq(r->peek->after, "m0");
        ck_assert_int_eq(r->peek->which, HATO__PEEK__WHICH__DELAYED);
        ck_assert_str_eq(r->peek->group, "g");
        reply_peek(p, r->id);
        break;
    default:
        ck_abort_msg("not expected");
    }
}

static void check_message(const struct hato_message *m)
{
    ck_assert_uint_eq(m->body_len, 3);
    ck_assert_int_eq(memcmp(m->body, "a\0b\0", 4), 0); /* and a zero byte after it */
    ck_assert_str_eq(m->group, "g");
    ck_assert_str_eq(m->deduplication_id, "d");
    ck_assert_str_eq(m->traceparent, "00-1-2-03");
    ck_assert_uint_eq(m->delay_ms, 1);
    ck_assert_uint_eq(m->not_before_ms, 2);
    ck_assert(m->no_delay);
    ck_assert_uint_eq(m->priority, 3);
}

static void check_attributes(const struct hato_message *m)
{
    ck_assert_uint_eq(m->attribute_count, 3);
    ck_assert_str_eq(m->attributes[0].name, "t");
    ck_assert_int_eq(m->attributes[0].type, HATO_TEXT);
    ck_assert_str_eq(m->attributes[0].value, "text");
    ck_assert_uint_eq(m->attributes[0].value_len, 4);
    ck_assert_int_eq(m->attributes[1].type, HATO_NUMBER);
    ck_assert_str_eq(m->attributes[1].value, "1.50");
    ck_assert_str_eq(m->attributes[1].type_suffix, "float");
    ck_assert_int_eq(m->attributes[2].type, HATO_BINARY);
    ck_assert_uint_eq(m->attributes[2].value_len, 2);
    ck_assert_int_eq(memcmp(m->attributes[2].value, "\0\1\0", 3), 0);
}

static void check_provenance(const struct hato_provenance *p)
{
    ck_assert_str_eq(p->source_queue, "jobs");
    ck_assert_str_eq(p->message_id, "m1");
    ck_assert_uint_eq(p->sent_ms, 1);
    ck_assert_uint_eq(p->attempts, 2);
    ck_assert_uint_eq(p->first_received_ms, 3);
    ck_assert_uint_eq(p->moved_ms, 4);
    ck_assert_str_eq(p->reason, "max-receives");
    ck_assert_str_eq(p->last_error, "boom");
    ck_assert_uint_eq(p->last_status, 500);
}

START_TEST(a_message_with_everything_comes_back_as_it_was)
{
    struct harness *h = harness_open(answer, NULL);
    struct hato_attribute attributes[] = {
        {.name = "t", .type = HATO_TEXT, .value = "text", .value_len = 4},
        {.name = "n", .type = HATO_NUMBER, .value = "1.50", .value_len = 4, .type_suffix = "float"},
        {.name = "b", .type = HATO_BINARY, .value = "\0\1", .value_len = 2},
    };
    struct hato_message m = {
        .body = "a\0b",
        .body_len = 3,
        .attributes = attributes,
        .attribute_count = 3,
        .group = "g",
        .deduplication_id = "d",
        .traceparent = "00-1-2-03",
        .delay_ms = 1,
        .not_before_ms = 2,
        .no_delay = true,
        .priority = 3,
    };
    hato_send(h->client, "jobs", &m, 1, keep, NULL);
    reply_of(h);
    hato_reply_destroy(got);
    struct hato_peek_options options = {.max_messages = 3, .after = "m0", .which = HATO_PEEK_DELAYED, .group = "g"};
    hato_peek(h->client, "jobs", &options, keep, NULL);
    const struct hato_reply *r = reply_of(h);
    ck_assert_str_eq(r->next, "m3");
    ck_assert_uint_eq(r->peeked_count, 1);
    const struct hato_peeked *p = &r->peeked[0];
    ck_assert_str_eq(p->message_id, "m2");
    ck_assert_uint_eq(p->sequence, 5);
    ck_assert_str_eq(p->state, "delayed");
    ck_assert_uint_eq(p->sent_ms, 6);
    ck_assert_uint_eq(p->receive_count, 7);
    ck_assert_uint_eq(p->due_ms, 8);
    ck_assert_uint_eq(p->halted_ms, 9);
    ck_assert_str_eq(p->last_error, "late");
    check_message(&p->message);
    check_attributes(&p->message);
    check_provenance(p->message.provenance);
    hato_reply_destroy(got);
    hato__message__free_unpacked(sent, NULL);
    harness_close(h);
}
END_TEST

START_TEST(a_source_of_another_region_keeps_its_full_name)
{
    struct harness *h = harness_open(answer, NULL);
    struct hato_message m = {.body = "x", .body_len = 1};
    moved_from = "000000000000:eu-west-1:jobs";
    hato_send(h->client, "jobs", &m, 1, keep, NULL);
    reply_of(h);
    hato_reply_destroy(got);
    struct hato_peek_options options = {.max_messages = 3, .after = "m0", .which = HATO_PEEK_DELAYED, .group = "g"};
    hato_peek(h->client, "jobs", &options, keep, NULL);
    ck_assert_str_eq(reply_of(h)->peeked[0].message.provenance->source_queue, "000000000000:eu-west-1:jobs");
    hato_reply_destroy(got);
    hato__message__free_unpacked(sent, NULL);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/message_fields");
    TCase *tc = tcase_create("fields");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, a_message_with_everything_comes_back_as_it_was);
    tcase_add_test(tc, a_source_of_another_region_keeps_its_full_name);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
