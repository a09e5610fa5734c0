#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"

START_TEST(raw_requests_carry_the_message_s_properties_in_headers)
{
    struct fixture f;
    fixture_open(&f, keep_headers);
    f.function.format = HATO__FORMAT__RAW;
    f.path = "/hook?x=1";
    f.function.content_type = (char *)(uintptr_t) "text/plain";
    char *secrets[] = {(char *)(uintptr_t) "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    char *headers[] = {(char *)(uintptr_t) "X-Team: images", (char *)(uintptr_t) "Authorization: Bearer abc"};
    f.function.n_secrets = 1;
    f.function.secrets = secrets;
    f.function.n_headers = 2;
    f.function.headers = headers;
    Hato__Attribute kind = HATO__ATTRIBUTE__INIT;
    kind.name = (char *)(uintptr_t) "kind";
    kind.value_case = HATO__ATTRIBUTE__VALUE_TEXT;
    kind.text = (char *)(uintptr_t) "new";
    Hato__Attribute evil = kind;
    evil.name = (char *)(uintptr_t) "evil";
    evil.text = (char *)(uintptr_t) "a\r\nX-Injected: yes";
    Hato__Attribute *attributes[] = {&kind, &evil};
    Hato__Message content = HATO__MESSAGE__INIT;
    content.body.data = (uint8_t *)(uintptr_t) "hello";
    content.body.len = 5;
    content.n_attributes = 2;
    content.attributes = attributes;
    content.group = (char *)(uintptr_t) "tenant-1";
    content.traceparent = (char *)(uintptr_t) "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    fake_put_message(f.source, QUEUE, &content);
    fixture_start(&f);
    RUN_UNTIL(&f, f.source->acked == 1);
    static const char *const want[] = {"POST /hook?x=1 HTTP/1.1\r\n",
                                       "\r\nhato-message-id: message-1\r\n",
                                       "\r\nhato-queue: jobs\r\n",
                                       "\r\nhato-receive-count: 1\r\n",
                                       "\r\nhato-sent: 1700000000000\r\n",
                                       "\r\nhato-group: tenant-1\r\n",
                                       "\r\nhato-attr-kind: new\r\n",
                                       "\r\nContent-Type: text/plain\r\n",
                                       "\r\nX-Team: images\r\n",
                                       "\r\nAuthorization: Bearer abc\r\n",
                                       "\r\nUser-Agent: Hato\r\n",
                                       "\r\nwebhook-id: message-1\r\n",
                                       "\r\nwebhook-signature: v1,",
                                       "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
                                       "\r\nContent-Length: 5\r\n"};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        ck_assert_msg(strstr(f.seen, want[i]) != NULL, "no %s in\n%s", want[i], f.seen);
    ck_assert_ptr_null(strstr(f.seen, "X-Injected"));
    ck_assert_ptr_null(strstr(f.seen, "Expect"));
    fixture_close(&f);
}
END_TEST

START_TEST(headers_of_the_function_are_sent_and_may_replace_the_content_type)
{
    struct fixture f;
    fixture_open(&f, keep_headers);
    char *headers[] = {(char *)(uintptr_t) "X-Team:images", (char *)(uintptr_t) "content-type: text/csv",
                       (char *)(uintptr_t) "X-Empty:", (char *)(uintptr_t) "User-Agent: mine"};
    f.function.n_headers = 4;
    f.function.headers = headers;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nX-Team: images\r\n"));
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\ncontent-type: text/csv\r\n"));
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nX-Empty:\r\n"));
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nUser-Agent: mine\r\n"));
    ck_assert_ptr_null(strstr(f.seen, "application/json"));
    ck_assert_ptr_null(strstr(f.seen, "User-Agent: Hato"));
    fixture_close(&f);
}
END_TEST

START_TEST(the_id_of_a_signed_message_stays_and_its_time_is_that_of_the_attempt)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.function.format = HATO__FORMAT__RAW;
    f.status = 500;
    char *secrets[] = {(char *)(uintptr_t) "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    f.function.n_secrets = 1;
    f.function.secrets = secrets;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].failures == 1);
    f.web.answer = keep_headers;
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nwebhook-id: message-1\r\n"));
    const char *time = strstr(f.seen, "\r\nwebhook-timestamp: ");
    ck_assert_ptr_nonnull(time);
    struct clock clock = clock_real();
    uint64_t now = clock_now_ms(&clock) / 1000;
    uint64_t sent = strtoull(time + 21, NULL, 10);
    ck_assert_uint_le(sent, now);
    ck_assert_uint_ge(sent, f.source->messages[0].acks > 0 ? now - 3600 : now);
    fixture_close(&f);
}
END_TEST

struct seen {
    char ids[16][100];
    unsigned messages[16]; /* a bit each */
    int n;
};

/* All fail at first; of the second request the first message does once more. */
static void fail_batches(struct web_server *s, struct web_request *r)
{
    struct seen *seen = fixture_of(s)->ctx;
    ck_assert_int_lt(seen->n, 16);
    ck_assert(web_header(r, "webhook-id", seen->ids[seen->n], sizeof seen->ids[0]));
    for (unsigned i = 1; i <= 3; i++) {
        char name[20];
        snprintf(name, sizeof name, "message-%u", i);
        if (memmem(r->body.data, r->body.len, name, strlen(name)) != NULL)
            seen->messages[seen->n] |= 1U << i;
    }
    seen->n++;
    web_reply(r, seen->n == 1 ? 500 : 200, "",
              seen->messages[seen->n - 1] & 2 && seen->n < 4
                  ? "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-1\"}]}"
                  : "");
}

START_TEST(a_batch_is_known_by_all_its_messages)
{
    struct fixture f;
    struct seen seen = {0};
    fixture_open(&f, fail_batches);
    f.ctx = &seen;
    fixture_batch(&f, 3);
    char *secrets[] = {(char *)(uintptr_t) "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    f.function.n_secrets = 1;
    f.function.secrets = secrets;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    ck_assert_int_ge(seen.n, 3);
    ck_assert_uint_eq(seen.messages[0], 14);
    ck_assert_uint_eq(strlen(seen.ids[0]), strlen("batch-") + 32);
    ck_assert_uint_eq(seen.messages[seen.n - 1], 2);
    ck_assert_str_eq(seen.ids[seen.n - 1], "message-1");
    for (int i = 0; i < seen.n; i++)
        for (int k = 0; k < i; k++)
            ck_assert_int_eq(seen.messages[i] == seen.messages[k], strcmp(seen.ids[i], seen.ids[k]) == 0);
    fixture_close(&f);
}
END_TEST

enum { MANY = 150 };

/* As many lines as there is room for, or as many bytes. */
static void fill_with_attributes(Hato__Message *content, size_t value_len)
{
    static Hato__Attribute attributes[MANY];
    static Hato__Attribute *list[MANY];
    static char names[MANY][8];
    static char value[256];
    memset(value, 'x', sizeof value);
    value[value_len] = '\0';
    for (size_t i = 0; i < MANY; i++) {
        hato__attribute__init(&attributes[i]);
        snprintf(names[i], sizeof names[i], "a%zu", i);
        attributes[i].name = names[i];
        attributes[i].value_case = HATO__ATTRIBUTE__VALUE_TEXT;
        attributes[i].text = value;
        list[i] = &attributes[i];
    }
    content->attributes = list;
    content->n_attributes = MANY;
}

static void note_signature(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    char text[256];
    f->number += web_header(r, "webhook-id", text, sizeof text) != NULL &&
                 web_header(r, "webhook-timestamp", text, sizeof text) != NULL &&
                 web_header(r, "webhook-signature", text, sizeof text) != NULL;
    web_reply(r, 200, "", "");
}

START_TEST(a_message_of_many_attributes_is_signed_all_the_same)
{
    static const size_t lengths[] = {1, 60, 90, 180, 188, 196, 204, 255};
    struct fixture f;
    fixture_open(&f, note_signature);
    f.function.format = _i == 0 ? HATO__FORMAT__RAW : HATO__FORMAT__CLOUDEVENTS;
    char *secrets[] = {(char *)(uintptr_t) "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                       (char *)(uintptr_t) "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"};
    f.function.n_secrets = 2;
    f.function.secrets = secrets;
    fixture_start(&f);
    for (uint32_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        Hato__Message content = HATO__MESSAGE__INIT;
        fill_with_attributes(&content, lengths[i]);
        fake_put_message(f.source, QUEUE, &content);
        dispatcher_wake(f.d, QUEUE);
        RUN_UNTIL(&f, f.source->acked == i + 1);
        ck_assert_msg(f.number == i + 1, "not signed, with values of %zu bytes", lengths[i]);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(the_last_attempts_are_kept_newest_first)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.format = HATO__FORMAT__RAW;
    fixture_concurrency(&f, 1);
    fixture_start(&f);
    f.body = "fine";
    fixture_fill(&f, 60, "");
    RUN_UNTIL(&f, f.source->acked == 60);
    f.body = "the last one";
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 61);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_eq(info.attempt_count, DISPATCHER_ATTEMPTS_MAX);
    ck_assert(bytes_equal(info.attempts[0].answer, bytes_text("the last one")));
    ck_assert(bytes_equal(info.attempts[1].answer, bytes_text("fine")));
    ck_assert_uint_ge(info.attempts[0].started_ms, info.attempts[49].started_ms);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, raw_requests_carry_the_message_s_properties_in_headers);
    tcase_add_test(c, headers_of_the_function_are_sent_and_may_replace_the_content_type);
    tcase_add_test(c, the_id_of_a_signed_message_stays_and_its_time_is_that_of_the_attempt);
    tcase_add_test(c, a_batch_is_known_by_all_its_messages);
    tcase_add_loop_test(c, a_message_of_many_attributes_is_signed_all_the_same, 0, 2);
    tcase_add_test(c, the_last_attempts_are_kept_newest_first);
}

int main(void)
{
    return fixture_main("request", add);
}
