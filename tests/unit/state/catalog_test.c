#include "state/catalog.h"

#include "proto/command.pb-c.h"
#include "state/entry.h"
#include "state/keyspace.h"

#define NAME "000000000000:us-east-1:resize"

struct rig {
    struct keyspace k;
    struct catalog *c;
};

static void rig_open(struct rig *r)
{
    *r = (struct rig){0};
    keyspace_open(&r->k);
    ck_assert_int_eq(catalog_open(&r->k.keys, &r->c, NULL), ERR_OK);
}

static void reopen(struct rig *r)
{
    struct error e = {0};
    catalog_close(r->c);
    keyspace_reopen(&r->k);
    ck_assert_msg(catalog_open(&r->k.keys, &r->c, &e) == ERR_OK, "%s", e.message);
}

static void rig_close(struct rig *r)
{
    catalog_close(r->c);
    keyspace_close(&r->k);
}

static int create(struct rig *r, const char *name, const char *url, bool *changed, struct error *e)
{
    Hato__FunctionSettings g = HATO__FUNCTION_SETTINGS__INIT;
    g.url = (char *)url;
    return catalog_create(r->c, &r->k.keys, bytes_text(name), &g, 1000, changed, e);
}

START_TEST(a_function_is_kept_with_its_settings_and_times)
{
    struct rig r;
    struct function_view v;
    bool changed;
    rig_open(&r);
    ck_assert(!catalog_find(r.c, bytes_text(NAME), &v));
    ck_assert_int_eq(create(&r, NAME, "http://a/", &changed, NULL), ERR_OK);
    ck_assert(changed);
    Hato__FunctionSettings g = HATO__FUNCTION_SETTINGS__INIT;
    g.has_timeout_ms = 1;
    g.timeout_ms = 500;
    ck_assert_int_eq(catalog_set(r.c, &r.k.keys, bytes_text(NAME), &g, 2000, &changed, NULL), ERR_OK);
    ck_assert(changed);
    ck_assert_int_eq(catalog_set(r.c, &r.k.keys, bytes_text(NAME), &g, 3000, &changed, NULL), ERR_OK);
    ck_assert(!changed);
    reopen(&r);
    ck_assert(catalog_find(r.c, bytes_text(NAME), &v));
    ck_assert_str_eq(v.name, NAME);
    ck_assert_str_eq(v.settings->url, "http://a/");
    ck_assert_uint_eq(v.settings->timeout_ms, 500);
    ck_assert(v.settings->has_retry_max_ms);
    ck_assert_uint_eq(v.created_ms, 1000);
    ck_assert_uint_eq(v.modified_ms, 2000);
    ck_assert_int_eq(catalog_delete(r.c, &r.k.keys, bytes_text(NAME), NULL), ERR_OK);
    reopen(&r);
    ck_assert_uint_eq(catalog_count(r.c), 0);
    rig_close(&r);
}
END_TEST

START_TEST(creating_again_succeeds_with_equal_settings_only)
{
    struct rig r;
    struct error e = {0};
    bool changed;
    rig_open(&r);
    ck_assert_int_eq(create(&r, NAME, "http://a/", &changed, NULL), ERR_OK);
    ck_assert_int_eq(create(&r, NAME, "http://a/", &changed, NULL), ERR_OK);
    ck_assert(!changed);
    ck_assert_int_eq(create(&r, NAME, "http://b/", &changed, &e), ERR_EXISTS);
    ck_assert(!changed);
    ck_assert_int_eq(create(&r, "resize", "http://b/", &changed, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "name");
    ck_assert_int_eq(create(&r, NAME "2", "gopher://b/", &changed, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "url");
    ck_assert_int_eq(catalog_set(r.c, &r.k.keys, bytes_text(NAME "2"), NULL, 1, &changed, &e), ERR_NOT_FOUND);
    ck_assert_str_eq(e.message,
                     "there is no function \"resize2\"; create it first (hato function create resize2 --url URL)");
    ck_assert_int_eq(catalog_delete(r.c, &r.k.keys, bytes_text(NAME "2"), &e), ERR_NOT_FOUND);
    ck_assert_uint_eq(catalog_count(r.c), 1);
    rig_close(&r);
}
END_TEST

struct walk {
    char last[200];
    size_t count;
    size_t max;
};

static bool step(void *ctx, const struct function_view *f)
{
    struct walk *w = ctx;
    ck_assert_int_gt(strcmp(f->name, w->last), 0);
    snprintf(w->last, sizeof w->last, "%s", f->name);
    return ++w->count < w->max;
}

START_TEST(functions_are_gone_through_in_order_page_by_page)
{
    struct rig r;
    bool changed;
    rig_open(&r);
    for (int i = 0; i < 300; i++) {
        char name[128];
        snprintf(name, sizeof name, "000000000000:us-east-1:f-%d", i * 7919 % 1000);
        ck_assert_int_eq(create(&r, name, "http://a/", &changed, NULL), ERR_OK);
    }
    reopen(&r);
    size_t seen = 0;
    struct walk w = {.max = 7};
    for (size_t before = 1; before > 0; seen += before) {
        w.count = 0;
        catalog_each(r.c, bytes_text(w.last), step, &w);
        before = w.count;
    }
    ck_assert_uint_eq(seen, 300);
    ck_assert_uint_eq(catalog_count(r.c), 300);
    rig_close(&r);
}
END_TEST

START_TEST(the_number_of_functions_is_limited)
{
    struct rig r;
    struct error e = {0};
    bool changed;
    rig_open(&r);
    for (int i = 0; i < CATALOG_FUNCTIONS_MAX; i++) {
        char name[128];
        snprintf(name, sizeof name, "000000000000:us-east-1:f-%06d", i);
        ck_assert_int_eq(create(&r, name, "http://a/", &changed, NULL), ERR_OK);
    }
    ck_assert_int_eq(create(&r, NAME, "http://a/", &changed, &e), ERR_LIMIT);
    ck_assert_int_eq(catalog_delete(r.c, &r.k.keys, bytes_text("000000000000:us-east-1:f-000005"), NULL), ERR_OK);
    ck_assert_int_eq(create(&r, NAME, "http://a/", &changed, &e), ERR_OK);
    rig_close(&r);
}
END_TEST

static int apply(struct rig *r, uint8_t kind, struct bytes payload, const char **name)
{
    struct arena arena = {0};
    struct error e = {0};
    const char *got = NULL;
    static _Thread_local char text[200];
    int code = catalog_apply(r->c, &r->k.keys, kind, payload, 1000, &arena, &got, &e);
    snprintf(text, sizeof text, "%s", got != NULL ? got : "");
    *name = text;
    arena_close(&arena);
    return code;
}

START_TEST(commands_do_the_same_and_say_what_changed)
{
    struct rig r;
    const char *name;
    uint8_t bytes[500];
    Hato__FunctionSettings g = HATO__FUNCTION_SETTINGS__INIT;
    Hato__Log__FunctionCreate create_command = HATO__LOG__FUNCTION_CREATE__INIT;
    Hato__Log__FunctionSet set_command = HATO__LOG__FUNCTION_SET__INIT;
    Hato__Log__FunctionDelete delete_command = HATO__LOG__FUNCTION_DELETE__INIT;
    rig_open(&r);
    g.url = (char[]){"http://a/"};
    create_command.name = set_command.name = delete_command.name = (char[]){NAME};
    create_command.settings = &g;
    size_t len = hato__log__function_create__pack(&create_command, bytes);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_CREATE, bytes_of(bytes, len), &name), ERR_OK);
    ck_assert_str_eq(name, NAME);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_CREATE, bytes_of(bytes, len), &name), ERR_OK);
    ck_assert_str_eq(name, "");
    for (size_t cut = 0; cut < len; cut++) {
        int code = apply(&r, COMMAND_FUNCTION_CREATE, bytes_of(bytes, cut), &name);
        ck_assert(code == ERR_INVALID || code == ERR_EXISTS);
    }
    g.url = (char[]){"http://b/"};
    set_command.settings = &g;
    len = hato__log__function_set__pack(&set_command, bytes);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_SET, bytes_of(bytes, len), &name), ERR_OK);
    ck_assert_str_eq(name, NAME);
    len = hato__log__function_delete__pack(&delete_command, bytes);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_DELETE, bytes_of(bytes, len), &name), ERR_OK);
    ck_assert_str_eq(name, NAME);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_DELETE, bytes_of(bytes, len), &name), ERR_NOT_FOUND);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_DELETE, bytes_of(NULL, 0), &name), ERR_NOT_FOUND);
    ck_assert_int_eq(apply(&r, COMMAND_FUNCTION_SET, bytes_of("\xff", 1), &name), ERR_INVALID);
    rig_close(&r);
}
END_TEST

START_TEST(hostile_records_are_reported_or_make_settings_that_can_be)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct rig r;
        struct random random;
        struct error e = {0};
        bool changed;
        rig_open(&r);
        random_open(&random, seed);
        ck_assert_int_eq(create(&r, NAME, "http://a.example/some/path", &changed, NULL), ERR_OK);
        keyspace_commit(&r.k);
        if (seed % 2 == 0)
            keyspace_damage(&r.k, KEY_FUNCTION, &random);
        else
            keyspace_scramble(&r.k, KEY_FUNCTION, &random);
        catalog_close(r.c);
        r.c = NULL;
        int code = catalog_open(&r.k.keys, &r.c, &e);
        ck_assert_msg(code == ERR_CORRUPT || (code == ERR_OK && seed % 2 == 1), "%s", e.message);
        if (code == ERR_CORRUPT)
            ck_assert_ptr_nonnull(strstr(e.message, "function record"));
        rig_close(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("catalog");
    TCase *c = tcase_create("catalog");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_function_is_kept_with_its_settings_and_times);
    tcase_add_test(c, creating_again_succeeds_with_equal_settings_only);
    tcase_add_test(c, functions_are_gone_through_in_order_page_by_page);
    tcase_add_test(c, the_number_of_functions_is_limited);
    tcase_add_test(c, commands_do_the_same_and_say_what_changed);
    tcase_add_test(c, hostile_records_are_reported_or_make_settings_that_can_be);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
