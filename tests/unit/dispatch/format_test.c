#include "dispatch/format.h"

#include <check.h>
#include <jansson.h>
#include <proto/client.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch/fake_source.h"
#include "net/crypto.h"

static struct crypto *crypto;
static struct encoded out;
static struct origin origin;
static Hato__Message content;
static Hato__Attribute attributes[8];
static Hato__Attribute *pointers[8];
static struct source_message source;
static struct message message;

static void set_body(const char *body, size_t len)
{
    content.body.data = loose(body);
    content.body.len = len;
}

static void setup(void)
{
    crypto = crypto_create();
    memset(&out, 0, sizeof out);
    out.content_type = "application/octet-stream";
    origin = (struct origin){.name = "jobs",
                             .arn = "arn:aws:sqs:us-east-1:000000000000:jobs",
                             .region = "us-east-1",
                             .account = "000000000000"};
    hato__message__init(&content);
    content.attributes = pointers;
    source = (struct source_message){.token = {.sequence = 77, .lease = 5},
                                     .id = "id-1",
                                     .receipt = bytes_of("\x00\x01\xff", 3),
                                     .sent_ms = 1700000000123,
                                     .first_received_ms = 1700000000456,
                                     .receive_count = 2};
    message = (struct message){&source, &content};
    set_body("hello", 5);
}

static void teardown(void)
{
    buffer_close(&out.buffer);
    headers_close(&out.headers);
    crypto_destroy(crypto);
}

static Hato__Attribute *add_attribute(const char *name)
{
    Hato__Attribute *a = &attributes[content.n_attributes];
    hato__attribute__init(a);
    a->name = loose(name);
    pointers[content.n_attributes++] = a;
    return a;
}

static void add_text(const char *name, const char *value)
{
    Hato__Attribute *a = add_attribute(name);
    a->value_case = HATO__ATTRIBUTE__VALUE_TEXT;
    a->text = loose(value);
}

static void add_number(const char *name, const char *value)
{
    Hato__Attribute *a = add_attribute(name);
    a->value_case = HATO__ATTRIBUTE__VALUE_NUMBER;
    a->number = loose(value);
}

static void add_binary(const char *name, const char *value, size_t len)
{
    Hato__Attribute *a = add_attribute(name);
    a->value_case = HATO__ATTRIBUTE__VALUE_BINARY;
    a->binary.data = loose(value);
    a->binary.len = len;
}

static void encode(const struct format *f)
{
    buffer_clear(&out.buffer);
    headers_clear(&out.headers);
    f->encode(crypto, &origin, &message, 1, &out);
}

/* The header's value, or NULL. */
static const char *header(const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < out.headers.count; i++) {
        const char *line = (const char *)out.headers.text.data + out.headers.starts[i];
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 2;
    }
    return NULL;
}

static void check_body(const char *want)
{
    ck_assert_msg(bytes_equal(out.body, bytes_text(want)), "got  %.*s\nwant %s", (int)out.body.len,
                  (const char *)out.body.data, want);
}

/* ------------------------------------------------------------------ lambda */

START_TEST(a_lambda_event_is_that_of_aws_field_for_field)
{
    encode(&format_lambda);
    check_body("{\"Records\":[{\"messageId\":\"id-1\",\"receiptHandle\":\"AAH/\",\"body\":\"hello\","
               "\"attributes\":{\"ApproximateReceiveCount\":\"2\",\"SentTimestamp\":\"1700000000123\","
               "\"SenderId\":\"000000000000\",\"ApproximateFirstReceiveTimestamp\":\"1700000000456\"},"
               "\"messageAttributes\":{},\"md5OfBody\":\"5d41402abc4b2a76b9719d911017c592\","
               "\"eventSource\":\"aws:sqs\",\"eventSourceARN\":\"arn:aws:sqs:us-east-1:000000000000:jobs\","
               "\"awsRegion\":\"us-east-1\"}]}");
}
END_TEST

START_TEST(a_lambda_event_carries_attributes_of_all_types)
{
    add_text("kind", "a \"new\" one");
    add_number("size", "12.50");
    add_binary("raw", "\x00\xff", 2);
    attributes[1].type_suffix = loose("float");
    encode(&format_lambda);
    json_t *root = json_loadb((const char *)out.body.data, out.body.len, 0, NULL);
    json_t *got = json_object_get(json_array_get(json_object_get(root, "Records"), 0), "messageAttributes");
    json_t *want = json_loads("{\"kind\":{\"stringValue\":\"a \\\"new\\\" one\",\"stringListValues\":[],"
                              "\"binaryListValues\":[],\"dataType\":\"String\"},"
                              "\"size\":{\"stringValue\":\"12.50\",\"stringListValues\":[],\"binaryListValues\":[],"
                              "\"dataType\":\"Number.float\"},"
                              "\"raw\":{\"binaryValue\":\"AP8=\",\"stringListValues\":[],\"binaryListValues\":[],"
                              "\"dataType\":\"Binary\"}}",
                              0, NULL);
    ck_assert(json_equal(got, want));
    json_decref(root);
    json_decref(want);
}
END_TEST

static json_t *system_attributes(json_t **root)
{
    encode(&format_lambda);
    *root = json_loadb((const char *)out.body.data, out.body.len, 0, NULL);
    ck_assert_ptr_nonnull(*root);
    return json_object_get(json_array_get(json_object_get(*root, "Records"), 0), "attributes");
}

static void check_member(json_t *object, const char *name, const char *want)
{
    const char *got = json_string_value(json_object_get(object, name));
    if (want == NULL)
        ck_assert_ptr_null(got);
    else
        ck_assert_str_eq(got, want);
}

START_TEST(a_lambda_event_of_a_fifo_queue_has_group_and_sequence)
{
    json_t *root;
    content.group = loose("g");
    content.deduplication_id = loose("d");
    origin.fifo = true;
    json_t *a = system_attributes(&root);
    check_member(a, "SequenceNumber", "00000000000000000077");
    check_member(a, "MessageGroupId", "g");
    check_member(a, "MessageDeduplicationId", "d");
    json_decref(root);
    content.deduplication_id = loose("");
    content.body.data = (uint8_t *)loose("hato");
    content.body.len = 4;
    a = system_attributes(&root);
    check_member(a, "MessageDeduplicationId", NULL);
    json_decref(root);
    origin.content_deduplication = true;
    a = system_attributes(&root);
    check_member(a, "MessageDeduplicationId", "2e1adffac68c77ee2a052d257cda9693ef349b282d261156f3e4f9399cf29ef0");
    json_decref(root);
}
END_TEST

START_TEST(a_lambda_event_tells_where_a_dead_letter_came_from)
{
    json_t *root;
    Hato__Provenance p = HATO__PROVENANCE__INIT;
    p.source_queue = loose("000000000000:eu-west-1:orders");
    content.provenance = &p;
    json_t *a = system_attributes(&root);
    check_member(a, "DeadLetterQueueSourceArn", "arn:aws:sqs:eu-west-1:000000000000:orders");
    json_decref(root);
    p.source_queue = loose("odd");
    a = system_attributes(&root);
    check_member(a, "DeadLetterQueueSourceArn", NULL);
    json_decref(root);
}
END_TEST

START_TEST(a_trace_reaches_a_lambda_in_x_ray_s_words)
{
    json_t *root;
    content.traceparent = loose("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    json_t *a = system_attributes(&root);
    check_member(a, "AWSTraceHeader", "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1");
    json_decref(root);
    static const char *const bad[] = {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
                                      "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                      "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        content.traceparent = loose(bad[i]);
        a = system_attributes(&root);
        check_member(a, "AWSTraceHeader", NULL);
        json_decref(root);
    }
    add_text("AWSTraceHeader", "Root=1-5759e988-bd862e3fe1be46a994272793");
    a = system_attributes(&root);
    check_member(a, "AWSTraceHeader", "Root=1-5759e988-bd862e3fe1be46a994272793");
    ck_assert_uint_eq(
        json_object_size(json_object_get(json_array_get(json_object_get(root, "Records"), 0), "messageAttributes")), 0);
    json_decref(root);
}
END_TEST

START_TEST(a_body_that_is_not_utf8_comes_as_base64_and_says_so)
{
    set_body("\xff\x00\xfe", 3);
    encode(&format_lambda);
    json_t *root = json_loadb((const char *)out.body.data, out.body.len, 0, NULL);
    json_t *record = json_array_get(json_object_get(root, "Records"), 0);
    check_member(record, "body", "/wD+");
    ck_assert(json_is_true(json_object_get(record, "isBase64Encoded")));
    check_member(record, "md5OfBody", "13a18f27d9e54107c1d22c7d67f55018");
    json_decref(root);
}
END_TEST

START_TEST(a_lambda_event_holds_many_messages_in_order)
{
    struct source_message sources[3];
    struct message messages[3];
    static const char *const ids[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        sources[i] = source;
        sources[i].id = ids[i];
        messages[i] = (struct message){&sources[i], &content};
    }
    format_lambda.encode(crypto, &origin, messages, 3, &out);
    json_t *root = json_loadb((const char *)out.body.data, out.body.len, 0, NULL);
    json_t *records = json_object_get(root, "Records");
    ck_assert_uint_eq(json_array_size(records), 3);
    for (size_t i = 0; i < 3; i++)
        check_member(json_array_get(records, i), "messageId", ids[i]);
    json_decref(root);
}
END_TEST

START_TEST(a_binary_attribute_with_the_trace_s_name_is_an_attribute_like_others)
{
    json_t *root;
    add_binary("AWSTraceHeader", "\x00\xff", 2);
    json_t *a = system_attributes(&root);
    check_member(a, "AWSTraceHeader", NULL);
    json_t *others = json_object_get(json_array_get(json_object_get(root, "Records"), 0), "messageAttributes");
    check_member(json_object_get(others, "AWSTraceHeader"), "binaryValue", "AP8=");
    json_decref(root);
}
END_TEST

/* ------------------------------------------------------------------ cloudevents */

START_TEST(a_binary_cloudevent_is_the_body_and_headers)
{
    add_text("content-type", "text/plain");
    add_text("type", "com.example.made");
    add_text("subject", "caf\xc3\xa9 1");
    add_text("Tenant", "t 1");
    add_number("attempts", "3");
    add_binary("blob", "\x00\xff", 2);
    add_text("not-allowed", "x");
    add_text("id", "mine");
    content.group = loose("g");
    content.traceparent = loose("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    encode(&format_cloudevents);
    check_body("hello");
    ck_assert_str_eq(header("ce-specversion"), "1.0");
    ck_assert_str_eq(header("ce-id"), "id-1");
    ck_assert_str_eq(header("ce-source"), "arn:aws:sqs:us-east-1:000000000000:jobs");
    ck_assert_str_eq(header("ce-type"), "com.example.made");
    ck_assert_str_eq(header("ce-time"), "2023-11-14T22:13:20.123Z");
    ck_assert_str_eq(header("ce-subject"), "caf%C3%A9%201");
    ck_assert_str_eq(header("ce-partitionkey"), "g");
    ck_assert_str_eq(header("ce-traceparent"), content.traceparent);
    ck_assert_str_eq(header("ce-sequence"), "00000000000000000077");
    ck_assert_str_eq(header("ce-hatoreceivecount"), "2");
    ck_assert_str_eq(header("ce-tenant"), "t%201");
    ck_assert_str_eq(header("ce-attempts"), "3");
    ck_assert_str_eq(header("ce-blob"), "AP8=");
    ck_assert_str_eq(header("Content-Type"), "text/plain");
    ck_assert_ptr_null(header("ce-not-allowed"));
    ck_assert_ptr_null(header("ce-datacontenttype"));
}
END_TEST

START_TEST(a_cloudevent_without_attributes_has_its_defaults)
{
    encode(&format_cloudevents);
    ck_assert_str_eq(header("ce-type"), "dev.hato.message");
    ck_assert_str_eq(header("Content-Type"), "application/octet-stream");
    ck_assert_ptr_null(header("ce-subject"));
    ck_assert_ptr_null(header("ce-partitionkey"));
}
END_TEST

static json_t *structured(void)
{
    encode(&format_cloudevents_structured);
    json_t *root = json_loadb((const char *)out.body.data, out.body.len, 0, NULL);
    ck_assert_ptr_nonnull(root);
    return root;
}

START_TEST(a_structured_cloudevent_is_one_object)
{
    add_text("content-type", "text/plain; charset=utf-8");
    add_text("tenant", "t1");
    json_t *got = structured();
    json_t *want = json_loads("{\"specversion\":\"1.0\",\"id\":\"id-1\","
                              "\"source\":\"arn:aws:sqs:us-east-1:000000000000:jobs\",\"type\":\"dev.hato.message\","
                              "\"time\":\"2023-11-14T22:13:20.123Z\",\"sequence\":\"00000000000000000077\","
                              "\"hatoreceivecount\":\"2\",\"tenant\":\"t1\","
                              "\"datacontenttype\":\"text/plain; charset=utf-8\",\"data\":\"hello\"}",
                              0, NULL);
    ck_assert_msg(json_equal(got, want), "%.*s", (int)out.body.len, (const char *)out.body.data);
    json_decref(got);
    json_decref(want);
}
END_TEST

START_TEST(of_attributes_that_become_the_same_extension_the_first_is_sent)
{
    add_text("Foo", "first");
    add_text("foo", "second");
    add_number("FOO", "3");
    encode(&format_cloudevents);
    ck_assert_str_eq(header("ce-foo"), "first");
    uint32_t lines = out.headers.count;
    json_t *got = structured();
    ck_assert_str_eq(json_string_value(json_object_get(got, "foo")), "first");
    json_decref(got);
    got = json_loadb((const char *)out.body.data, out.body.len, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(got != NULL, "%.*s", (int)out.body.len, (const char *)out.body.data);
    json_decref(got);
    content.n_attributes = 1;
    encode(&format_cloudevents);
    ck_assert_uint_eq(out.headers.count, lines);
}
END_TEST

static const struct {
    const char *type;
    const char *body;
    const char *data; /* JSON */
    bool base64;
} datas[] = {
    {"application/json", "{\"a\": [1, 2.50]}", "{\"a\":[1,2.5]}", false},
    {"application/problem+json; x=y", "5", "5", false},
    {"Application/JSON", "null", "null", false},
    {"application/json", "{not json", "\"e25vdCBqc29u\"", true},
    {"application/json", "{} {}", "\"e30ge30=\"", true},
    {"application/json", "{}\"", "\"e30i\"", true},
    {"application/json", "\f{}", "\"DHt9\"", true},
    {"application/json", "\"\xff\"", "\"Iv8i\"", true},
    {"application/jsonish", "{}", "\"e30=\"", true},
    {"text/html", "<p>\n", "\"<p>\\n\"", false},
    {"text/plain", "\xff", "\"/w==\"", true},
    {"image/png", "png", "\"cG5n\"", true},
};

START_TEST(the_data_of_a_structured_cloudevent_is_json_text_or_base64)
{
    add_text("content-type", datas[_i].type);
    set_body(datas[_i].body, strlen(datas[_i].body));
    json_t *got = structured();
    json_t *want = json_loads(datas[_i].data, JSON_DECODE_ANY, NULL);
    ck_assert(json_equal(json_object_get(got, datas[_i].base64 ? "data_base64" : "data"), want));
    ck_assert_ptr_null(json_object_get(got, datas[_i].base64 ? "data" : "data_base64"));
    json_decref(got);
    json_decref(want);
}
END_TEST

/* Looked for as text, since few readers can hold all of them. */
static const char *const odd_json[] = {"{\"id\":18446744073709551615}", "[1e400]", "\"\\ud800\""};

START_TEST(json_that_few_readers_can_hold_is_json)
{
    struct buffer want = {0};
    add_text("content-type", "application/json");
    set_body(odd_json[_i], strlen(odd_json[_i]));
    encode(&format_cloudevents_structured);
    buffer_printf(&want, ",\"data\":%s}", odd_json[_i]);
    ck_assert(out.body.len > want.len);
    ck_assert(bytes_equal(bytes_of(out.body.data + out.body.len - want.len, want.len), buffer_view(&want)));
    buffer_close(&want);
}
END_TEST

START_TEST(a_cloudevent_that_names_no_content_type_has_the_function_s)
{
    out.content_type = "application/json";
    set_body("{\"a\":1}", 7);
    encode(&format_cloudevents);
    ck_assert_str_eq(header("Content-Type"), "application/json");
    json_t *got = structured();
    check_member(got, "datacontenttype", "application/json");
    ck_assert(json_is_object(json_object_get(got, "data")));
    json_decref(got);
    add_text("content-type", "text/plain");
    got = structured();
    check_member(got, "data", "{\"a\":1}");
    json_decref(got);
}
END_TEST

START_TEST(an_empty_body_is_no_data)
{
    set_body("", 0);
    json_t *got = structured();
    ck_assert_ptr_null(json_object_get(got, "data"));
    ck_assert_ptr_null(json_object_get(got, "data_base64"));
    json_decref(got);
}
END_TEST

START_TEST(times_are_those_of_rfc_3339)
{
    char t[FORMAT_TIME_MAX];
    ck_assert_str_eq(format_time(0, t), "1970-01-01T00:00:00.000Z");
    ck_assert_str_eq(format_time(951827696789, t), "2000-02-29T12:34:56.789Z");
    ck_assert_str_eq(format_time(UINT64_MAX, t), "9999-12-31T23:59:59.615Z");
}
END_TEST

/* ------------------------------------------------------------------ raw */

START_TEST(a_raw_request_leaves_out_what_can_not_stand_in_a_header)
{
    add_text("good", "v");
    add_text("line", "a\nb");
    add_binary("bin", "x", 1);
    add_number("n", "-1");
    set_body("\x00\x01", 2);
    encode(&format_raw);
    ck_assert(bytes_equal(out.body, bytes_of("\x00\x01", 2)));
    ck_assert_str_eq(header("hato-attr-good"), "v");
    ck_assert_str_eq(header("hato-attr-n"), "-1");
    ck_assert_ptr_null(header("hato-attr-line"));
    ck_assert_ptr_null(header("hato-attr-bin"));
    ck_assert_ptr_null(header("hato-group"));
}
END_TEST

START_TEST(of_attributes_that_differ_only_in_case_a_raw_request_has_the_first_that_can_stand_in_a_header)
{
    add_text("Foo", "1");
    add_text("foo", "2");
    add_text("fo", "3");
    add_text("bar", "a\nb");
    add_text("BAR", "4");
    encode(&format_raw);
    ck_assert_str_eq(header("hato-attr-Foo"), "1");
    ck_assert_ptr_null(header("hato-attr-foo"));
    ck_assert_str_eq(header("hato-attr-fo"), "3");
    ck_assert_str_eq(header("hato-attr-BAR"), "4");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("format");
    TCase *c = tcase_create("format");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_lambda_event_is_that_of_aws_field_for_field);
    tcase_add_test(c, a_lambda_event_carries_attributes_of_all_types);
    tcase_add_test(c, a_lambda_event_of_a_fifo_queue_has_group_and_sequence);
    tcase_add_test(c, a_lambda_event_tells_where_a_dead_letter_came_from);
    tcase_add_test(c, a_trace_reaches_a_lambda_in_x_ray_s_words);
    tcase_add_test(c, a_binary_attribute_with_the_trace_s_name_is_an_attribute_like_others);
    tcase_add_test(c, a_body_that_is_not_utf8_comes_as_base64_and_says_so);
    tcase_add_test(c, a_lambda_event_holds_many_messages_in_order);
    tcase_add_test(c, a_binary_cloudevent_is_the_body_and_headers);
    tcase_add_test(c, a_cloudevent_without_attributes_has_its_defaults);
    tcase_add_test(c, a_structured_cloudevent_is_one_object);
    tcase_add_test(c, of_attributes_that_become_the_same_extension_the_first_is_sent);
    tcase_add_loop_test(c, the_data_of_a_structured_cloudevent_is_json_text_or_base64, 0,
                        sizeof datas / sizeof datas[0]);
    tcase_add_loop_test(c, json_that_few_readers_can_hold_is_json, 0, sizeof odd_json / sizeof odd_json[0]);
    tcase_add_test(c, a_cloudevent_that_names_no_content_type_has_the_function_s);
    tcase_add_test(c, an_empty_body_is_no_data);
    tcase_add_test(c, times_are_those_of_rfc_3339);
    tcase_add_test(c, a_raw_request_leaves_out_what_can_not_stand_in_a_header);
    tcase_add_test(c, of_attributes_that_differ_only_in_case_a_raw_request_has_the_first_that_can_stand_in_a_header);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
