#include "state/nodes.h"

#include "proto/command.pb-c.h"
#include "state/entry.h"
#include "state/keyspace.h"

enum { SHARDS = 4 };

struct rig {
    struct keyspace k;
    struct nodes *n;
    uint64_t index;
    struct error e;
};

static void rig_open(struct rig *r)
{
    *r = (struct rig){0};
    keyspace_open(&r->k);
    ck_assert_int_eq(nodes_open(&r->k.keys, SHARDS, &r->n, NULL), ERR_OK);
}

static void reopen(struct rig *r)
{
    nodes_close(r->n);
    keyspace_reopen(&r->k);
    ck_assert_msg(nodes_open(&r->k.keys, SHARDS, &r->n, &r->e) == ERR_OK, "%s", r->e.message);
}

static void rig_close(struct rig *r)
{
    nodes_close(r->n);
    keyspace_close(&r->k);
}

static int apply(struct rig *r, enum command_kind kind, const ProtobufCMessage *m)
{
    uint8_t bytes[1024];
    bool changed;
    ck_assert_uint_le(protobuf_c_message_get_packed_size(m), sizeof bytes);
    size_t len = protobuf_c_message_pack(m, bytes);
    r->e = (struct error){0};
    int code = nodes_apply(r->n, &r->k.keys, (uint8_t)kind, bytes_of(bytes, len), ++r->index, &changed, &r->e);
    ck_assert(code == ERR_OK || !changed);
    return code;
}

static Hato__Log__Node node(uint64_t id, const char *address)
{
    Hato__Log__Node n = HATO__LOG__NODE__INIT;
    n.has_id = true;
    n.id = id;
    n.address = (char *)(uintptr_t)address;
    return n;
}

static int found(struct rig *r, size_t count)
{
    static const char *const addresses[] = {"a:1", "b:1", "c:1"};
    Hato__Log__Node nodes[3], *list[3];
    Hato__Log__NodesFound m = HATO__LOG__NODES_FOUND__INIT;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = node(i + 1, addresses[i]);
        list[i] = &nodes[i];
    }
    m.n_nodes = count;
    m.nodes = list;
    return apply(r, COMMAND_NODES_FOUND, &m.base);
}

static int add(struct rig *r, uint64_t id, const char *address, const char *zone)
{
    Hato__Log__Node n = node(id, address);
    Hato__Log__NodeAdd m = HATO__LOG__NODE_ADD__INIT;
    n.zone = (char *)(uintptr_t)zone;
    m.node = &n;
    return apply(r, COMMAND_NODE_ADD, &m.base);
}

static int drain(struct rig *r, uint64_t id, bool leaves, bool fewer)
{
    Hato__Log__NodeSet m = HATO__LOG__NODE_SET__INIT;
    m.has_id = m.has_leaves = m.has_fewer = true;
    m.id = id;
    m.leaves = leaves;
    m.fewer = fewer;
    return apply(r, COMMAND_NODE_SET, &m.base);
}

static int remove_one(struct rig *r, uint64_t id)
{
    Hato__Log__NodeRemove m = HATO__LOG__NODE_REMOVE__INIT;
    m.has_id = true;
    m.id = id;
    return apply(r, COMMAND_NODE_REMOVE, &m.base);
}

static int lead(struct rig *r, uint32_t shard, uint64_t id)
{
    Hato__Log__ShardLead m = HATO__LOG__SHARD_LEAD__INIT;
    m.has_shard = m.has_node = true;
    m.shard = shard;
    m.node = id;
    return apply(r, COMMAND_SHARD_LEAD, &m.base);
}

static struct nodes_view look(struct rig *r)
{
    struct nodes_view v;
    ck_assert(nodes_look(r->n, &v));
    return v;
}

START_TEST(the_first_nodes_are_those_who_founded_the_groups)
{
    struct rig r;
    struct nodes_view v;
    rig_open(&r);
    ck_assert(!nodes_look(r.n, &v));
    ck_assert_int_eq(add(&r, 2, "b:1", ""), ERR_CONFLICT);
    ck_assert_int_eq(lead(&r, 1, 1), ERR_CONFLICT);
    ck_assert_int_eq(found(&r, 3), ERR_OK);
    ck_assert_int_eq(found(&r, 1), ERR_OK); /* once is enough */
    v = look(&r);
    ck_assert_uint_eq(v.count, 3);
    ck_assert_str_eq(v.nodes[2].address, "c:1");
    ck_assert_uint_eq(v.nodes[2].since, 0);
    for (int i = 0; i <= SHARDS; i++)
        ck_assert_uint_eq(v.shards[i].voters.count, 3);
    rig_close(&r);
}
END_TEST

START_TEST(nodes_come_and_go_and_are_there_after_a_restart)
{
    struct rig r;
    rig_open(&r);
    ck_assert_int_eq(found(&r, 3), ERR_OK);
    ck_assert_int_eq(add(&r, 7, "d:1", "west"), ERR_OK);
    ck_assert_int_eq(add(&r, 7, "d:1", "west"), ERR_OK); /* said again */
    uint64_t since = look(&r).nodes[3].since;
    ck_assert_int_eq(lead(&r, 2, look(&r).shards[2].voters.ids[1]), ERR_OK);
    ck_assert_int_eq(drain(&r, 2, true, false), ERR_OK);
    struct placement before[SHARDS + 1];
    memcpy(before, look(&r).shards, sizeof before);
    reopen(&r);
    struct nodes_view v = look(&r);
    ck_assert_uint_eq(v.count, 4);
    ck_assert(v.nodes[1].leaves && !v.nodes[0].leaves);
    ck_assert_str_eq(v.nodes[3].zone, "west");
    ck_assert_uint_eq(v.nodes[3].since, since);
    ck_assert_mem_eq(v.shards, before, sizeof before);
    ck_assert_int_eq(remove_one(&r, 1), ERR_CONFLICT);
    ck_assert_int_eq(remove_one(&r, 2), ERR_OK);
    ck_assert_int_eq(remove_one(&r, 2), ERR_NOT_FOUND);
    ck_assert_int_eq(add(&r, 2, "b:1", ""), ERR_OK);
    ck_assert_uint_gt(look(&r).nodes[1].since, since); /* another one */
    reopen(&r);
    ck_assert_uint_eq(look(&r).count, 4);
    rig_close(&r);
}
END_TEST

START_TEST(replicas_are_not_given_up_by_the_way)
{
    struct rig r;
    rig_open(&r);
    ck_assert_int_eq(found(&r, 3), ERR_OK);
    ck_assert_int_eq(drain(&r, 3, true, false), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(r.e.message, "--fewer-replicas"));
    ck_assert_int_eq(drain(&r, 3, true, true), ERR_OK);
    ck_assert_int_eq(drain(&r, 2, true, true), ERR_OK);
    ck_assert_uint_eq(look(&r).shards[1].voters.count, 1);
    ck_assert_int_eq(drain(&r, 1, true, true), ERR_CONFLICT);
    ck_assert_int_eq(drain(&r, 2, false, false), ERR_OK);
    ck_assert_uint_eq(look(&r).shards[1].voters.count, 2);
    rig_close(&r);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    struct rig r;
    char longer[NODES_ADDRESS_MAX + 1];
    rig_open(&r);
    ck_assert_int_eq(found(&r, 3), ERR_OK);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(add(&r, 0, "d:1", ""), ERR_INVALID);
    ck_assert_int_eq(add(&r, UINT64_C(1) << 32, "d:1", ""), ERR_INVALID);
    ck_assert_int_eq(add(&r, 4, "", ""), ERR_INVALID);
    ck_assert_int_eq(add(&r, 4, longer, ""), ERR_INVALID);
    ck_assert_int_eq(add(&r, 4, "d:1", "a b"), ERR_INVALID);
    ck_assert_int_eq(add(&r, 4, "a:1", ""), ERR_EXISTS);
    ck_assert_int_eq(add(&r, 3, "d:1", ""), ERR_EXISTS);
    ck_assert_int_eq(drain(&r, 9, true, true), ERR_NOT_FOUND);
    ck_assert_int_eq(lead(&r, SHARDS + 1, 1), ERR_NOT_FOUND);
    ck_assert_int_eq(lead(&r, 1, 9), ERR_CONFLICT);
    bool changed;
    ck_assert_int_eq(nodes_apply(r.n, &r.k.keys, COMMAND_NODE_ADD, bytes_text("\xff"), 99, &changed, NULL),
                     ERR_INVALID);
    ck_assert_int_eq(nodes_apply(r.n, &r.k.keys, COMMAND_NODE_ADD, bytes_text(""), 99, &changed, NULL), ERR_INVALID);
    for (uint64_t id = 4; id <= MEMBERSHIP_NODES_MAX; id++) {
        char address[16];
        snprintf(address, sizeof address, "n%d:1", (int)id);
        ck_assert_int_eq(add(&r, id, address, ""), ERR_OK);
    }
    ck_assert_int_eq(add(&r, 99, "z:1", ""), ERR_LIMIT);
    rig_close(&r);
}
END_TEST

START_TEST(hostile_records_are_reported_or_make_nodes_that_can_be)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct rig r;
        struct random random;
        rig_open(&r);
        random_open(&random, seed);
        ck_assert_int_eq(found(&r, 3), ERR_OK);
        keyspace_commit(&r.k);
        if (seed % 2 == 0)
            keyspace_damage(&r.k, KEY_NODES, &random);
        else
            keyspace_scramble(&r.k, KEY_NODES, &random);
        nodes_close(r.n);
        r.n = NULL;
        int code = nodes_open(&r.k.keys, SHARDS, &r.n, &r.e);
        ck_assert_msg(code == ERR_CORRUPT || (code == ERR_OK && seed % 2 == 1), "%s", r.e.message);
        rig_close(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nodes");
    TCase *t = tcase_create("nodes");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, the_first_nodes_are_those_who_founded_the_groups);
    tcase_add_test(t, nodes_come_and_go_and_are_there_after_a_restart);
    tcase_add_test(t, replicas_are_not_given_up_by_the_way);
    tcase_add_test(t, what_cannot_be_is_refused);
    tcase_add_test(t, hostile_records_are_reported_or_make_nodes_that_can_be);
    suite_add_tcase(s, t);
    return keyspace_main(s);
}
