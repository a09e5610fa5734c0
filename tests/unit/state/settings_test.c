#include "state/settings.h"

#include "state/keyspace.h"

#define STANDARD "000000000000:us-east-1:jobs"
#define FIFO "000000000000:us-east-1:jobs.fifo"
#define DEAD "000000000000:us-east-1:jobs-dead"
#define FUNCTION "000000000000:us-east-1:resize"

typedef Hato__QueueSettings queue_settings;

static queue_settings *create(const char *name, const queue_settings *given)
{
    queue_settings *out = NULL;
    struct error e = {0};
    ck_assert_msg(settings_queue_create(bytes_text(name), given, &out, &e) == ERR_OK, "%s", e.message);
    return out;
}

static queue_settings *merged(const char *name, const queue_settings *now, const queue_settings *given)
{
    queue_settings *out = NULL;
    struct error e = {0};
    ck_assert_msg(settings_queue_merge(bytes_text(name), now, given, &out, &e) == ERR_OK, "%s", e.message);
    return out;
}

/* The create is refused, naming the field and a limit. */
static void refused(const char *name, const queue_settings *given, const char *field, const char *told)
{
    queue_settings *out = NULL;
    struct error e = {0};
    ck_assert_int_eq(settings_queue_create(bytes_text(name), given, &out, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert_msg(strstr(e.message, told) != NULL, "%s", e.message);
    ck_assert_ptr_null(out);
}

START_TEST(a_new_queue_has_the_documented_defaults)
{
    queue_settings *s = create(STANDARD, NULL);
    ck_assert(s->has_kind && s->kind == HATO__QUEUE_KIND__STANDARD);
    ck_assert(s->has_visibility_ms && s->visibility_ms == 30000);
    ck_assert(s->has_delay_ms && s->delay_ms == 0);
    ck_assert(s->has_retention_ms && s->retention_ms == 4 * SETTINGS_DAY_MS);
    ck_assert(s->has_max_message_bytes && s->max_message_bytes == 1 << 20);
    ck_assert(s->has_max_messages && s->max_messages == 0);
    ck_assert(s->has_max_bytes && s->max_bytes == 0);
    ck_assert(s->has_max_in_flight && s->max_in_flight == 120000);
    ck_assert(s->has_receive_wait_ms && s->receive_wait_ms == 0);
    ck_assert(s->has_max_receives && s->max_receives == 10);
    ck_assert(s->has_on_exhausted && s->on_exhausted == HATO__ON_EXHAUSTED__DEAD_LETTER);
    ck_assert(s->has_content_deduplication && !s->content_deduplication);
    ck_assert(s->has_deduplication_window_ms && s->deduplication_window_ms == 300000);
    ck_assert(s->has_deduplication_scope && s->deduplication_scope == HATO__DEDUPLICATION_SCOPE__SCOPE_QUEUE);
    ck_assert_str_eq(s->dead_letter_queue, "");
    ck_assert_str_eq(s->binding_function, "");
    ck_assert_ptr_null(s->binding);
    ck_assert_uint_eq(s->n_group_weights, 0);
    ck_assert(s->has_user_data && s->user_data.len == 0);
    ck_assert(!s->has_clear_group_weights);
    settings_queue_free(s);
}
END_TEST

/* Each limit, on it and one beyond it. */
#define LIMITS(member, low, high, text)                                                                                \
    do {                                                                                                               \
        queue_settings g = HATO__QUEUE_SETTINGS__INIT;                                                                 \
        g.has_##member = 1;                                                                                            \
        g.member = (low);                                                                                              \
        settings_queue_free(create(STANDARD, &g));                                                                     \
        g.member = (high);                                                                                             \
        settings_queue_free(create(STANDARD, &g));                                                                     \
        g.member = (__typeof__(g.member))((high) + UINT64_C(1));                                                       \
        refused(STANDARD, &g, #member, text);                                                                          \
        g.member = (__typeof__(g.member))((low)-UINT64_C(1));                                                          \
        refused(STANDARD, &g, #member, text);                                                                          \
    } while (0)

START_TEST(every_number_of_a_queue_has_its_limits)
{
    LIMITS(visibility_ms, 0, 7 * SETTINGS_DAY_MS, "7 days");
    LIMITS(delay_ms, 0, 3650 * SETTINGS_DAY_MS, "10 years");
    LIMITS(retention_ms, 1000, 3650 * SETTINGS_DAY_MS, "10 years");
    LIMITS(max_message_bytes, 1, UINT64_C(64) << 20, "64 MiB");
    LIMITS(max_in_flight, 1, 10000000, "10000000");
    LIMITS(receive_wait_ms, 0, SETTINGS_HOUR_MS, "1 hour");
    LIMITS(max_receives, 1, 1000000, "1000000");
    LIMITS(deduplication_window_ms, 1000, 7 * SETTINGS_DAY_MS, "7 days");
}
END_TEST

START_TEST(unknown_values_of_enums_are_refused)
{
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    g.has_kind = 1;
    g.kind = (Hato__QueueKind)2;
    refused(STANDARD, &g, "kind", "FIFO");
    hato__queue_settings__init(&g);
    g.has_deduplication_scope = 1;
    g.deduplication_scope = (Hato__DeduplicationScope)7;
    refused(STANDARD, &g, "deduplication_scope", "group");
    hato__queue_settings__init(&g);
    g.has_on_exhausted = 1;
    g.on_exhausted = (Hato__OnExhausted)-1;
    refused(FIFO, &g, "on_exhausted", "halt");
}
END_TEST

START_TEST(kind_and_name_belong_together_and_the_kind_stays)
{
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    queue_settings *out = NULL;
    struct error e = {0};
    queue_settings *fifo = create(FIFO, NULL);
    ck_assert_int_eq(fifo->kind, HATO__QUEUE_KIND__FIFO);
    g.has_kind = 1;
    g.kind = HATO__QUEUE_KIND__FIFO;
    refused(STANDARD, &g, "kind", ".fifo");
    g.kind = HATO__QUEUE_KIND__STANDARD;
    refused(FIFO, &g, "kind", ".fifo");
    ck_assert_int_eq(settings_queue_merge(bytes_text(FIFO), fifo, &g, &out, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "kind");
    ck_assert_ptr_nonnull(strstr(e.message, "fixed"));
    hato__queue_settings__init(&g);
    g.has_on_exhausted = 1;
    g.on_exhausted = HATO__ON_EXHAUSTED__HALT_GROUP;
    refused(STANDARD, &g, "on_exhausted", "FIFO");
    settings_queue_free(create(FIFO, &g));
    settings_queue_free(fifo);
}
END_TEST

START_TEST(a_dead_letter_queue_is_another_queue_of_the_same_kind)
{
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    g.dead_letter_queue = (char[]){DEAD};
    queue_settings *s = create(STANDARD, &g);
    ck_assert_str_eq(s->dead_letter_queue, DEAD);
    refused(FIFO, &g, "dead_letter_queue", "FIFO");
    g.dead_letter_queue = (char[]){STANDARD};
    refused(STANDARD, &g, "dead_letter_queue", "its own");
    g.dead_letter_queue = (char[]){FIFO};
    refused(STANDARD, &g, "dead_letter_queue", "standard");
    g.dead_letter_queue = (char[]){"jobs-dead"};
    refused(STANDARD, &g, "dead_letter_queue", "account");
    g.dead_letter_queue = (char[]){""};
    queue_settings *without = merged(STANDARD, s, &g);
    ck_assert_str_eq(without->dead_letter_queue, "");
    settings_queue_free(without);
    settings_queue_free(s);
}
END_TEST

START_TEST(what_is_not_given_stays_as_it_was)
{
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    g.has_visibility_ms = 1;
    g.visibility_ms = 5000;
    g.has_user_data = 1;
    g.user_data = (ProtobufCBinaryData){4, (uint8_t[]){1, 0, 2, 3}};
    queue_settings *s = create(STANDARD, &g);
    hato__queue_settings__init(&g);
    g.has_delay_ms = 1;
    g.delay_ms = 7;
    queue_settings *t = merged(STANDARD, s, &g);
    ck_assert_uint_eq(t->visibility_ms, 5000);
    ck_assert_uint_eq(t->delay_ms, 7);
    ck_assert_uint_eq(t->user_data.len, 4);
    ck_assert_mem_eq(t->user_data.data, "\x01\x00\x02\x03", 4);
    ck_assert(!settings_queue_equal(s, t, false));
    queue_settings *u = merged(STANDARD, t, NULL);
    ck_assert(settings_queue_equal(u, t, false));
    settings_queue_free(s);
    settings_queue_free(t);
    settings_queue_free(u);
}
END_TEST

START_TEST(a_create_is_a_repeat_when_what_it_says_is_the_same)
{
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    queue_settings *s = create(STANDARD, NULL);
    g.has_visibility_ms = 1;
    g.visibility_ms = 30000; /* the default, said */
    queue_settings *t = create(STANDARD, &g);
    ck_assert(settings_queue_equal(s, t, true) && settings_queue_equal(s, t, false));
    hato__queue_settings__init(&g);
    g.binding_function = (char[]){FUNCTION};
    g.has_user_data = 1;
    g.user_data = (ProtobufCBinaryData){1, (uint8_t[]){1}};
    queue_settings *bound = merged(STANDARD, t, &g);
    ck_assert(settings_queue_equal(s, bound, true));
    ck_assert(!settings_queue_equal(s, bound, false));
    hato__queue_settings__init(&g);
    g.has_max_messages = 1;
    g.max_messages = 5;
    queue_settings *other = merged(STANDARD, bound, &g);
    ck_assert(!settings_queue_equal(s, other, true));
    settings_queue_free(s);
    settings_queue_free(t);
    settings_queue_free(bound);
    settings_queue_free(other);
}
END_TEST

START_TEST(a_binding_comes_changes_and_goes_with_its_function)
{
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    Hato__BindingSettings b = HATO__BINDING_SETTINGS__INIT;
    g.binding = &b;
    refused(STANDARD, &g, "binding", "bind");
    g.binding_function = (char[]){FUNCTION};
    b.has_batch_size = 1;
    b.batch_size = 50;
    queue_settings *s = create(STANDARD, &g);
    ck_assert_uint_eq(s->binding->batch_size, 50);
    ck_assert_uint_eq(s->binding->max_concurrency, 1000);
    ck_assert(s->binding->has_window_ms && s->binding->window_ms == 0);
    hato__binding_settings__init(&b);
    b.has_paused = 1;
    b.paused = 1;
    g.binding_function = NULL;
    queue_settings *paused = merged(STANDARD, s, &g);
    ck_assert(paused->binding->paused);
    ck_assert_uint_eq(paused->binding->batch_size, 50);
    hato__queue_settings__init(&g);
    g.binding_function = (char[]){FUNCTION "-2"};
    queue_settings *other = merged(STANDARD, paused, &g);
    ck_assert(other->binding->paused);
    ck_assert_uint_eq(other->binding->batch_size, 10);
    g.binding_function = (char[]){""};
    queue_settings *unbound = merged(STANDARD, other, &g);
    ck_assert_ptr_null(unbound->binding);
    g.binding_function = (char[]){FUNCTION};
    queue_settings *again = merged(STANDARD, unbound, &g);
    ck_assert(!again->binding->paused);
    settings_queue_free(again);
    ck_assert_str_eq(unbound->binding_function, "");
    g.binding_function = (char[]){"resize"};
    refused(STANDARD, &g, "binding_function", "account");
    settings_queue_free(s);
    settings_queue_free(paused);
    settings_queue_free(other);
    settings_queue_free(unbound);
}
END_TEST

START_TEST(the_numbers_of_a_binding_have_their_limits)
{
    Hato__BindingSettings b = HATO__BINDING_SETTINGS__INIT;
    struct error e = {0};
    b.has_batch_size = 1;
    b.batch_size = 1001;
    ck_assert_int_eq(settings_binding_check(&b, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "batch_size");
    b.batch_size = 0;
    ck_assert_int_eq(settings_binding_check(&b, &e), ERR_INVALID);
    b.batch_size = 1000;
    b.has_window_ms = 1;
    b.window_ms = 300001;
    ck_assert_int_eq(settings_binding_check(&b, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "window_ms");
    b.window_ms = 300000;
    b.has_max_concurrency = 1;
    b.max_concurrency = 10001;
    ck_assert_int_eq(settings_binding_check(&b, &e), ERR_INVALID);
    b.max_concurrency = 10000;
    ck_assert_int_eq(settings_binding_check(&b, &e), ERR_OK);
}
END_TEST

static void fill_weights(queue_settings *g, Hato__GroupWeight *weights, Hato__GroupWeight **list, char (*names)[32],
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hato__group_weight__init(&weights[i]);
        snprintf(names[i], sizeof names[i], "group-%zu", count - i);
        weights[i].group = names[i];
        weights[i].has_weight = 1;
        weights[i].weight = (uint32_t)(count - i);
        list[i] = &weights[i];
    }
    g->n_group_weights = count;
    g->group_weights = list;
}

START_TEST(weights_are_found_by_group_and_replace_the_list)
{
    static Hato__GroupWeight weights[SETTINGS_WEIGHTS_MAX + 1];
    static Hato__GroupWeight *list[SETTINGS_WEIGHTS_MAX + 1];
    static char names[SETTINGS_WEIGHTS_MAX + 1][32];
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    fill_weights(&g, weights, list, names, SETTINGS_WEIGHTS_MAX);
    queue_settings *s = create(STANDARD, &g);
    ck_assert_uint_eq(settings_group_weight(s, bytes_text("group-1")), 1);
    ck_assert_uint_eq(settings_group_weight(s, bytes_text("group-1000")), 1000);
    ck_assert_uint_eq(settings_group_weight(s, bytes_text("group-57")), 57);
    ck_assert_uint_eq(settings_group_weight(s, bytes_text("group-0")), 1);
    ck_assert_uint_eq(settings_group_weight(s, bytes_text("")), 1);
    fill_weights(&g, weights, list, names, 2);
    weights[0].has_weight = 0;
    queue_settings *t = merged(STANDARD, s, &g);
    ck_assert_uint_eq(t->n_group_weights, 2);
    ck_assert_uint_eq(settings_group_weight(t, bytes_text("group-57")), 1);
    ck_assert_uint_eq(settings_group_weight(t, bytes_text("group-2")), 1);
    g.n_group_weights = 0;
    g.has_clear_group_weights = 1;
    g.clear_group_weights = 1;
    queue_settings *u = merged(STANDARD, t, &g);
    ck_assert_uint_eq(u->n_group_weights, 0);
    fill_weights(&g, weights, list, names, SETTINGS_WEIGHTS_MAX + 1);
    refused(STANDARD, &g, "group_weights", "1000");
    settings_queue_free(s);
    settings_queue_free(t);
    settings_queue_free(u);
}
END_TEST

START_TEST(bad_weights_are_refused)
{
    Hato__GroupWeight w[2] = {HATO__GROUP_WEIGHT__INIT, HATO__GROUP_WEIGHT__INIT};
    Hato__GroupWeight *list[] = {&w[0], &w[1]};
    char long_name[130];
    memset(long_name, 'g', 129);
    long_name[129] = '\0';
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    g.n_group_weights = 1;
    g.group_weights = list;
    refused(STANDARD, &g, "group_weights", "128");
    w[0].group = (char[]){""};
    refused(STANDARD, &g, "group_weights", "128");
    w[0].group = long_name;
    refused(STANDARD, &g, "group_weights", "128");
    w[0].group = (char[]){"\xff"};
    refused(STANDARD, &g, "group_weights", "ASCII");
    w[0].group = (char[]){"a"};
    w[0].has_weight = 1;
    w[0].weight = 1001;
    refused(STANDARD, &g, "group_weights", "1000");
    w[0].weight = 0;
    refused(STANDARD, &g, "group_weights", "1000");
    w[0].weight = 1;
    w[1].group = (char[]){"a"};
    g.n_group_weights = 2;
    refused(STANDARD, &g, "group_weights", "more than one");
}
END_TEST

START_TEST(user_data_has_its_limit)
{
    static uint8_t data[SETTINGS_USER_DATA_MAX + 1];
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    g.has_user_data = 1;
    g.user_data = (ProtobufCBinaryData){SETTINGS_USER_DATA_MAX, data};
    settings_queue_free(create(STANDARD, &g));
    g.user_data.len++;
    refused(STANDARD, &g, "user_data", "65536");
}
END_TEST

START_TEST(settings_read_back_as_they_were_written_and_hostile_bytes_do_no_harm)
{
    Hato__GroupWeight w = HATO__GROUP_WEIGHT__INIT;
    Hato__GroupWeight *list[] = {&w};
    queue_settings g = HATO__QUEUE_SETTINGS__INIT;
    g.dead_letter_queue = (char[]){DEAD};
    g.binding_function = (char[]){FUNCTION};
    w.group = (char[]){"a"};
    g.n_group_weights = 1;
    g.group_weights = list;
    queue_settings *s = create(STANDARD, &g);
    queue_settings *t = NULL;
    struct buffer b = {0};
    settings_queue_encode(s, &b);
    ck_assert_int_eq(settings_queue_decode(buffer_view(&b), &t, NULL), ERR_OK);
    ck_assert(settings_queue_equal(s, t, false));
    settings_queue_free(t);
    ck_assert_int_eq(settings_queue_decode(bytes_of(NULL, 0), &t, NULL), ERR_OK); /* all fields came later */
    ck_assert_uint_eq(t->visibility_ms, 30000);
    settings_queue_free(t);
    struct random r;
    random_open(&r, 3);
    for (int i = 0; i < 20000; i++) {
        struct buffer noise = {0};
        buffer_put(&noise, b.data, random_below(&r, b.len) + 1);
        for (uint64_t n = random_below(&r, 6); n > 0; n--)
            noise.data[random_below(&r, noise.len)] = (uint8_t)random_next(&r);
        t = NULL;
        int code = settings_queue_decode(buffer_view(&noise), &t, NULL);
        ck_assert(code == ERR_OK || (code == ERR_CORRUPT && t == NULL));
        settings_queue_free(t);
        buffer_close(&noise);
    }
    buffer_close(&b);
    settings_queue_free(s);
}
END_TEST

START_TEST(fields_not_known_here_are_not_kept)
{
    /* A weight with an unknown field 15 of 100 bytes. */
    uint8_t bytes[3 + 3 + 2 + 100] = {0x82, 0x01, 105, 0x0a, 1, 'a', 0x7a, 100};
    queue_settings *given = hato__queue_settings__unpack(NULL, sizeof bytes, bytes);
    ck_assert_ptr_nonnull(given);
    queue_settings *s = create(STANDARD, given);
    struct buffer b = {0};
    settings_queue_encode(s, &b);
    ck_assert_uint_lt(b.len, 100);
    buffer_close(&b);
    settings_queue_free(s);
    hato__queue_settings__free_unpacked(given, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("settings");
    TCase *c = tcase_create("queues");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_new_queue_has_the_documented_defaults);
    tcase_add_test(c, every_number_of_a_queue_has_its_limits);
    tcase_add_test(c, unknown_values_of_enums_are_refused);
    tcase_add_test(c, kind_and_name_belong_together_and_the_kind_stays);
    tcase_add_test(c, a_dead_letter_queue_is_another_queue_of_the_same_kind);
    tcase_add_test(c, what_is_not_given_stays_as_it_was);
    tcase_add_test(c, a_create_is_a_repeat_when_what_it_says_is_the_same);
    tcase_add_test(c, a_binding_comes_changes_and_goes_with_its_function);
    tcase_add_test(c, the_numbers_of_a_binding_have_their_limits);
    tcase_add_test(c, weights_are_found_by_group_and_replace_the_list);
    tcase_add_test(c, bad_weights_are_refused);
    tcase_add_test(c, user_data_has_its_limit);
    tcase_add_test(c, settings_read_back_as_they_were_written_and_hostile_bytes_do_no_harm);
    tcase_add_test(c, fields_not_known_here_are_not_kept);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
