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
static const struct birth wanted = {.name = "hato",
                                    .cluster = "0123456789abcdef0123456789abcdef",
                                    .id = "00112233445566778899aabbccddeeff",
                                    .node = 1,
                                    .shards = 8,
                                    .founders = {.ids = {1, 2, 30}, .count = 3}};

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
    struct birth other = {.name = "pigeon",
                          .cluster = "ffffffffffffffffffffffffffffffff",
                          .id = "ffffffffffffffffffffffffffffffff",
                          .node = 1,
                          .shards = 3,
                          .founders = {.ids = {1}, .count = 1}};
    ck_assert_int_eq(birth_load(dir, &other, &b, &e), ERR_OK);
    ck_assert_str_eq(b.name, "hato");
    ck_assert_str_eq(b.cluster, wanted.cluster);
    ck_assert_str_eq(b.id, wanted.id);
    ck_assert_uint_eq(b.shards, 8);
    ck_assert_uint_eq(b.founders.count, 3);
    ck_assert_uint_eq(b.founders.ids[2], 30);
}
END_TEST

/* As version 1 of the file was written, by nodes that knew no others. */
START_TEST(a_directory_of_a_node_by_itself_is_understood_in_its_first_format)
{
    static const char text[] = "format=1\ncluster=56d6b60babe278f6d23b0ad4c8c33809\nnode=1\nshards=8\n"
                               "check=b64b3c6704f110d4\n";
    struct birth b;
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_msg(birth_load(dir, &wanted, &b, &e) == ERR_OK, "%s", e.message);
    ck_assert_str_eq(b.cluster, "56d6b60babe278f6d23b0ad4c8c33809");
    ck_assert_str_eq(b.id, b.cluster);
    ck_assert_uint_eq(b.shards, 8);
    ck_assert_uint_eq(b.founders.count, 1);
    ck_assert_uint_eq(b.founders.ids[0], 1);
}
END_TEST

/* As version 2 was written, which had no names. */
START_TEST(a_directory_without_its_clusters_name_is_understood)
{
    static const char text[] = "format=2\ncluster=0123456789abcdef0123456789abcdef\nnode=1\n"
                               "birth=00112233445566778899aabbccddeeff\nshards=8\nfounders=1,2,30\n"
                               "check=e857b12d82018887\n";
    struct birth b;
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_msg(birth_load(dir, &wanted, &b, &e) == ERR_OK, "%s", e.message);
    ck_assert_str_eq(b.name, "");
    ck_assert_str_eq(b.cluster, "0123456789abcdef0123456789abcdef");
    ck_assert_str_eq(b.id, "00112233445566778899aabbccddeeff");
    ck_assert_uint_eq(b.shards, 8);
    ck_assert_uint_eq(b.founders.count, 3);
    ck_assert_uint_eq(b.founders.ids[2], 30);
}
END_TEST

START_TEST(founders_agree_on_their_clusters_id_by_themselves)
{
    char one[33], two[33];
    const struct membership_list founders = {.ids = {1, 2, 3}, .count = 3}, others = {.ids = {1, 2, 4}, .count = 3};
    birth_cluster_id("hato", &founders, 8, one);
    ck_assert_str_eq(one, "82d2b31ef0c9a49bddbd4b64ef5e1cd0");
    birth_cluster_id("pigeon", &founders, 8, two);
    ck_assert_str_ne(one, two);
    birth_cluster_id("hato", &others, 8, two);
    ck_assert_str_ne(one, two);
    birth_cluster_id("hato", &founders, 9, two);
    ck_assert_str_ne(one, two);
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
    tcase_add_test(c, a_directory_of_a_node_by_itself_is_understood_in_its_first_format);
    tcase_add_test(c, a_directory_without_its_clusters_name_is_understood);
    tcase_add_test(c, founders_agree_on_their_clusters_id_by_themselves);
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
