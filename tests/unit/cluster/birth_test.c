#include "cluster/birth.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char file[96];
static struct error e;
static const struct birth wanted = {.cluster = "0123456789abcdef0123456789abcdef", .node = 1, .shards = 8};

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/hato-birth-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/hato.node", dir);
    e = (struct error){0};
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_new_directory_is_what_was_wanted_and_stays_so)
{
    struct birth b;
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_OK);
    struct birth other = {.cluster = "ffffffffffffffffffffffffffffffff", .node = 1, .shards = 3};
    ck_assert_int_eq(birth_load(dir, &other, &b, &e), ERR_OK);
    ck_assert_str_eq(b.cluster, wanted.cluster);
    ck_assert_uint_eq(b.shards, 8);
}
END_TEST

START_TEST(a_log_directory_that_is_gone_is_not_taken_for_a_new_one)
{
    struct birth b;
    char path[128];
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_OK);
    snprintf(path, sizeof path, "%s/store", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, dir));
    snprintf(path, sizeof path, "%s/log", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_OK);
}
END_TEST

START_TEST(another_node_is_refused)
{
    struct birth b;
    struct birth other = wanted;
    other.node = 2;
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_OK);
    ck_assert_int_eq(birth_load(dir, &other, &b, &e), ERR_CONFLICT);
    ck_assert_str_eq(e.field, "node");
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
    struct birth b;
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_OK);
    struct stat st;
    ck_assert_int_eq(stat(file, &st), 0);
    for (off_t i = 0; i < st.st_size - 1; i++) {
        FILE *f = fopen(file, "r+");
        fseek(f, i, SEEK_SET);
        int c = fgetc(f);
        fseek(f, i, SEEK_SET);
        fputc(c ^ 1, f);
        fclose(f);
        int rc = birth_load(dir, &wanted, &b, &e);
        ck_assert_msg(rc == ERR_CORRUPT || rc == ERR_VERSION, "byte %d", (int)i);
        f = fopen(file, "r+");
        fseek(f, i, SEEK_SET);
        fputc(c, f);
        fclose(f);
    }
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_OK);
}
END_TEST

START_TEST(a_directory_with_a_log_and_no_identity_is_refused)
{
    struct birth b;
    char log[96];
    snprintf(log, sizeof log, "%s/log", dir);
    ck_assert_int_eq(mkdir(log, 0700), 0);
    ck_assert_int_eq(birth_load(dir, &wanted, &b, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, "backup"));
}
END_TEST

START_TEST(a_directory_that_cannot_be_made_is_said)
{
    struct birth b;
    ck_assert_int_eq(birth_load("/proc/nowhere/data", &wanted, &b, &e), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("birth");
    TCase *c = tcase_create("birth");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_new_directory_is_what_was_wanted_and_stays_so);
    tcase_add_test(c, a_log_directory_that_is_gone_is_not_taken_for_a_new_one);
    tcase_add_test(c, another_node_is_refused);
    tcase_add_test(c, every_changed_byte_is_noticed);
    tcase_add_test(c, a_directory_with_a_log_and_no_identity_is_refused);
    tcase_add_test(c, a_directory_that_cannot_be_made_is_said);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
