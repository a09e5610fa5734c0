#include "cluster/roster.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static char dir[64];
static struct error e;
static struct roster *r;
static const struct birth self = {.cluster = "0123456789abcdef0123456789abcdef",
                                  .id = "11111111111111111111111111111111",
                                  .node = 1,
                                  .shards = 8,
                                  .founders = {.ids = {1, 2, 3}, .count = 3}};
static const struct hello two = {.cluster = "0123456789abcdef0123456789abcdef",
                                 .birth = "22222222222222222222222222222222",
                                 .node = 2,
                                 .to = 1,
                                 .instance = 77,
                                 .shards = 8,
                                 .clients = "10.0.0.2:9325"};

static void open_roster(void)
{
    const struct roster_options o = {
        .data = dir, .birth = &self, .peers = "3=c:3,1=a:1,2=[::2]:2", .clients = "10.0.0.1:9325", .instance = 5};
    ck_assert_msg(roster_create(&o, &r, &e) == ERR_OK, "%s", e.message);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/hato-roster-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    e = (struct error){0};
    open_roster();
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    roster_destroy(r);
}

/* Where a node is; "" when it is not listed. */
static const char *address_of(uint64_t node)
{
    static char text[HELLO_ADDRESS_MAX];
    struct roster_peer all[MEMBERSHIP_NODES_MAX];
    size_t count = roster_nodes(r, all);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (all[i].node == node)
            roster_address(&all[i], text);
    return text;
}

static void update(const struct node_view *all, size_t count)
{
    const struct nodes_view v = {.nodes = all, .count = count};
    ck_assert_int_eq(roster_update(r, &v, &e), ERR_OK);
}

START_TEST(nodes_are_where_the_flags_say)
{
    struct roster_peer all[MEMBERSHIP_NODES_MAX];
    ck_assert_uint_eq(roster_nodes(r, all), 3);
    ck_assert_str_eq(address_of(2), "[::2]:2");
    ck_assert_str_eq(address_of(3), "c:3");
}
END_TEST

START_TEST(nodes_come_and_go_as_the_catalog_says_and_are_known_after_a_restart)
{
    const struct node_view more[] = {{.id = 1, .address = "a:1"},
                                     {.id = 2, .address = "elsewhere:2"},
                                     {.id = 3, .address = "c:3"},
                                     {.id = 4, .address = "d:4", .since = 9}};
    const struct hello four = {.cluster = "0123456789abcdef0123456789abcdef",
                               .birth = "44444444444444444444444444444444",
                               .node = 4,
                               .since = 9,
                               .shards = 8};
    struct hello earlier = four;
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
    ck_assert_int_eq(roster_judge(r, &four, 0, &e), ERR_FORBIDDEN);
    update(more, 4);
    ck_assert_str_eq(address_of(2), "[::2]:2"); /* flags count more */
    ck_assert_str_eq(address_of(4), "d:4");
    earlier.since = 8;
    ck_assert_int_eq(roster_judge(r, &earlier, 0, &e), ERR_FORBIDDEN);
    ck_assert_ptr_nonnull(strstr(e.message, "replaced by another"));
    ck_assert_int_eq(roster_judge(r, &four, 0, &e), ERR_OK);
    roster_destroy(r);
    open_roster();
    ck_assert_str_eq(address_of(4), "d:4");
    ck_assert_int_eq(roster_judge(r, &four, 0, &e), ERR_OK);
    update(more, 3);
    ck_assert_str_eq(address_of(4), "");
    ck_assert_int_eq(roster_judge(r, &four, 0, &e), ERR_FORBIDDEN);
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK); /* as it was met before there was a catalog */
}
END_TEST

START_TEST(who_was_removed_and_added_anew_is_another_one)
{
    const struct node_view before[] = {{.id = 1, .address = "a:1"}, {.id = 2, .address = "b:2"}};
    const struct node_view after[] = {{.id = 1, .address = "a:1"}, {.id = 2, .address = "b:2", .since = 7}};
    struct hello other = two;
    memset(other.birth, '9', 32);
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
    update(before, 2);
    ck_assert_int_eq(roster_judge(r, &other, 0, &e), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(e.message, "hato cluster replace"));
    other.since = 7;
    update(after, 2); /* it was away when the node was not there */
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_FORBIDDEN);
    ck_assert_int_eq(roster_judge(r, &other, 0, &e), ERR_OK);
    update(after, 2);
    ck_assert_int_eq(roster_judge(r, &other, 0, &e), ERR_OK);
    other.since = 8; /* and this one was added while this node was away */
    memset(other.birth, '8', 32);
    ck_assert_int_eq(roster_judge(r, &other, 0, &e), ERR_OK);
    other.since = 7;
    ck_assert_int_eq(roster_judge(r, &other, 0, &e), ERR_FORBIDDEN);
}
END_TEST

START_TEST(as_many_may_come_and_go_as_like)
{
    struct node_view all[] = {{.id = 1, .address = "a:1"}, {.id = 2, .address = "b:2"}};
    for (uint64_t id = 10; id < 100; id++) {
        char address[16];
        snprintf(address, sizeof address, "n%d:1", (int)id);
        all[1] = (struct node_view){.id = id, .address = address, .since = id};
        update(all, 2);
        ck_assert_str_eq(address_of(id), address);
        ck_assert_str_eq(address_of(id - 1), "");
    }
}
END_TEST

START_TEST(lists_of_peers_that_make_no_sense_are_refused)
{
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    uint32_t count;
    static const char *const wrong[] = {"a:1",  "1=a",   "1=a:1,1=b:2", "0=a:1", "1=a:1,,2", "4294967296=a:1",
                                        "1=:1", "-1=a:1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_msg(roster_parse(wrong[i], peers, &count, &e) == ERR_INVALID, "%s", wrong[i]);
        ck_assert_str_eq(e.field, "peers");
    }
    char many[256] = "";
    for (int i = 1; i <= MEMBERSHIP_NODES_MAX + 1; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s%d=a:1", i > 1 ? "," : "", i);
    ck_assert_int_eq(roster_parse(many, peers, &count, &e), ERR_INVALID);
    ck_assert_int_eq(roster_parse("", peers, &count, &e), ERR_OK);
    ck_assert_uint_eq(count, 0);
}
END_TEST

static void refused(struct hello h, uint64_t expected, const char *text)
{
    ck_assert_int_ne(roster_judge(r, &h, expected, &e), ERR_OK);
    ck_assert_msg(strstr(e.message, text) != NULL, "%s", e.message);
}

START_TEST(only_who_belongs_here_is_let_in)
{
    struct hello h = two;
    memset(h.cluster, 'a', 32);
    refused(h, 0, "cluster");
    h = two;
    h.node = 1;
    refused(h, 0, "two nodes have the id 1");
    h = two;
    h.to = 3;
    refused(h, 0, "looks for node 3 and found node 1");
    refused(two, 3, "answers where node 3 should be");
    h = two;
    h.shards = 9;
    refused(h, 0, "9 shards");
    h = two;
    h.node = 4;
    refused(h, 0, "is not among those");
    ck_assert_int_eq(roster_judge(r, &two, 2, &e), ERR_OK);
}
END_TEST

START_TEST(a_node_that_comes_back_with_another_data_directory_is_refused_for_good)
{
    struct hello anew = two;
    memset(anew.birth, '3', 32);
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
    refused(anew, 0, "another data directory");
    roster_destroy(r);
    open_roster(); /* this node's process ends and begins again */
    refused(anew, 0, "another data directory");
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
}
END_TEST

START_TEST(two_processes_under_one_id_do_not_stand_side_by_side)
{
    struct hello other = two;
    other.instance = 78;
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
    ck_assert_int_eq(roster_enter(r, &two, &e), ERR_OK);
    ck_assert_int_eq(roster_enter(r, &two, &e), ERR_OK); /* its second loop's */
    ck_assert_int_eq(roster_enter(r, &other, &e), ERR_CONFLICT);
    roster_leave(r, 2);
    ck_assert_int_eq(roster_enter(r, &other, &e), ERR_CONFLICT);
    roster_leave(r, 2);
    ck_assert_int_eq(roster_enter(r, &other, &e), ERR_OK); /* it was restarted */
}
END_TEST

START_TEST(where_a_node_serves_clients_is_known_once_it_was_met)
{
    char clients[HELLO_ADDRESS_MAX];
    roster_clients(r, 2, clients);
    ck_assert_str_eq(clients, "");
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
    roster_clients(r, 2, clients);
    ck_assert_str_eq(clients, "10.0.0.2:9325");
    roster_clients(r, 9, clients);
    ck_assert_str_eq(clients, "");
}
END_TEST

START_TEST(a_damaged_memory_of_peers_is_told_of)
{
    char path[96];
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_OK);
    roster_destroy(r);
    r = NULL;
    snprintf(path, sizeof path, "%s/hato.peers", dir);
    FILE *f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    fseek(f, 12, SEEK_SET);
    fputc('x', f);
    fclose(f);
    const struct roster_options o = {.data = dir, .birth = &self, .peers = "1=a:1,2=b:2"};
    ck_assert_int_eq(roster_create(&o, &r, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, "hato.peers"));
}
END_TEST

START_TEST(what_cannot_be_remembered_is_not_let_in)
{
    char command[128];
    snprintf(command, sizeof command, "rmdir '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_IO);
    ck_assert_int_eq(roster_judge(r, &two, 0, &e), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("roster");
    TCase *c = tcase_create("roster");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, nodes_are_where_the_flags_say);
    tcase_add_test(c, nodes_come_and_go_as_the_catalog_says_and_are_known_after_a_restart);
    tcase_add_test(c, who_was_removed_and_added_anew_is_another_one);
    tcase_add_test(c, as_many_may_come_and_go_as_like);
    tcase_add_test(c, lists_of_peers_that_make_no_sense_are_refused);
    tcase_add_test(c, only_who_belongs_here_is_let_in);
    tcase_add_test(c, a_node_that_comes_back_with_another_data_directory_is_refused_for_good);
    tcase_add_test(c, two_processes_under_one_id_do_not_stand_side_by_side);
    tcase_add_test(c, where_a_node_serves_clients_is_known_once_it_was_met);
    tcase_add_test(c, a_damaged_memory_of_peers_is_told_of);
    tcase_add_test(c, what_cannot_be_remembered_is_not_let_in);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
