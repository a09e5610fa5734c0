/* Peer messages that are not what they should be: refused, or of no harm to the process. */
#include <stdlib.h>

#include "network.h"

enum {
    FIELDS_MAX = 24,
    ROUNDS = 120,
    MUTATIONS = 50 /* a round */
};

/* ---------------------------------------------------------------- headers, taken apart */

/* A field of a header's outer level, as protobuf writes it. */
struct field {
    uint64_t number;
    bool text; /* else an integer */
    uint64_t value;
    struct bytes bytes;
};

enum { F_KIND = 1, F_TO = 2, F_FROM = 3, F_TERM = 4, F_LOG_TERM = 5, F_INDEX = 6, F_COMMIT = 8, F_REQUEST = 13 };

static size_t fields_read(struct bytes header, struct field *fields)
{
    struct cursor c = cursor_open(header);
    size_t count = 0;
    while (cursor_left(&c) > 0 && count < FIELDS_MAX) {
        uint64_t tag = cursor_varint(&c);
        struct field *f = &fields[count++];
        *f = (struct field){.number = tag >> 3, .text = (tag & 7) == 2};
        f->value = cursor_varint(&c);
        if (f->text)
            f->bytes = cursor_take(&c, (size_t)f->value);
    }
    ck_assert(!c.failed);
    return count;
}

static void fields_write(const struct field *fields, size_t count, struct buffer *to)
{
    for (size_t i = 0; i < count; i++) {
        buffer_varint(to, fields[i].number << 3 | (fields[i].text ? 2 : 0));
        buffer_varint(to, fields[i].text ? fields[i].bytes.len : fields[i].value);
        if (fields[i].text)
            buffer_put(to, fields[i].bytes.data, fields[i].bytes.len);
    }
}

static void field_set(struct field *fields, size_t *count, uint64_t number, uint64_t value)
{
    for (size_t i = 0; i < *count; i++) {
        if (fields[i].number == number && !fields[i].text) {
            fields[i].value = value;
            return;
        }
    }
    if (*count < FIELDS_MAX)
        fields[(*count)++] = (struct field){.number = number, .value = value};
}

static void field_drop(struct field *fields, size_t *count, size_t at)
{
    (*count)--;
    fields[at] = fields[*count];
}

static int deliver(struct replica *r, uint64_t from, const struct field *fields, size_t count,
                   const struct raft_entry *entries, size_t entry_count)
{
    struct buffer header = {0};
    fields_write(fields, count, &header);
    struct raft_message m = {
        .from = from, .header = buffer_view(&header), .entries = entries, .entry_count = entry_count};
    int code = raft_step(r->raft, &m, NULL);
    buffer_close(&header);
    return code;
}

/* ---------------------------------------------------------------- one by one */

/* A follower (node 2 of three) in term 5 whose log holds entries 2 to 11. */
static void open_follower(struct replica *r)
{
    struct membership m = {0};
    for (uint64_t id = 1; id <= 3; id++)
        membership_add(&m.voters, id);
    replica_open(r, 2, &m, 1);
    for (uint64_t i = 2; i <= 11; i++) {
        struct raft_entry e = {.index = i, .term = 4};
        image_append(&r->disk, &e, 1);
    }
    r->disk.hard = (struct raft_hard_state){5, 0, 8};
    ck_assert_int_eq(replica_start(r, NULL), ERR_OK);
    replica_settle(r);
}

/* An append of node 1 right behind that log. */
static size_t append_fields(struct field *fields)
{
    const struct field valid[] = {{.number = F_KIND, .value = RAFT_APPEND}, {.number = F_TO, .value = 2},
                                  {.number = F_FROM, .value = 1},           {.number = F_TERM, .value = 5},
                                  {.number = F_LOG_TERM, .value = 4},       {.number = F_INDEX, .value = 11},
                                  {.number = F_COMMIT, .value = 8}};
    memcpy(fields, valid, sizeof valid);
    return sizeof valid / sizeof valid[0];
}

static int append_with(struct replica *r, uint64_t number, uint64_t value)
{
    struct field fields[FIELDS_MAX];
    size_t count = append_fields(fields);
    field_set(fields, &count, number, value);
    const struct raft_entry e = {.index = 12, .term = 5, .data = (const uint8_t *)"x", .len = 1};
    return deliver(r, 1, fields, count, &e, 1);
}

START_TEST(a_header_must_say_what_can_be)
{
    struct replica r;
    open_follower(&r);
    ck_assert_int_eq(append_with(&r, F_TO, 3), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_FROM, 3), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_FROM, 2), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_FROM, 0), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_TERM, 0), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_TERM, RAFT_TERM_MAX + 1), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_TERM, 3), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_LOG_TERM, 0), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_LOG_TERM, 6), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_INDEX, 0), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_INDEX, 12), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_INDEX, UINT64_MAX), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_COMMIT, UINT64_MAX), ERR_PROTOCOL);
    ck_assert_int_eq(append_with(&r, F_REQUEST, 1), ERR_PROTOCOL);
    for (uint64_t kind = 0; kind < 40; kind++)
        if (kind != RAFT_APPEND)
            ck_assert_int_eq(append_with(&r, F_KIND, kind), ERR_PROTOCOL);
    ck_assert(!raft_has_ready(r.raft));
    ck_assert_int_eq(append_with(&r, F_KIND, RAFT_APPEND), ERR_OK);
    replica_settle(&r);
    ck_assert_uint_eq(image_last(&r.disk), 12);
    replica_close(&r);
}
END_TEST

static int append_entries(struct replica *r, const struct raft_entry *entries, size_t count)
{
    struct field fields[FIELDS_MAX];
    size_t n = append_fields(fields);
    return deliver(r, 1, fields, n, entries, count);
}

START_TEST(entries_must_follow_one_another)
{
    struct replica r;
    open_follower(&r);
    struct raft_entry e[2] = {{.index = 12, .term = 4}, {.index = 13, .term = 5}};
    e[1].index = 14;
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_PROTOCOL);
    e[1].index = 12;
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_PROTOCOL);
    e[1] = (struct raft_entry){.index = 13, .term = 6};
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_PROTOCOL);
    e[1].term = 3;
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_PROTOCOL);
    e[1] = (struct raft_entry){.index = 13, .term = 5, .kind = 3};
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_PROTOCOL);
    e[1] = (struct raft_entry){.index = 13, .term = 5, .len = (size_t)RAFT_ENTRY_MAX + 1};
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_TOO_LARGE);
    e[0].term = 0;
    ck_assert_int_eq(append_entries(&r, e, 1), ERR_PROTOCOL);
    e[0] = (struct raft_entry){.index = 12, .term = 4};
    e[1] = (struct raft_entry){.index = 13, .term = 5};
    ck_assert_int_eq(append_entries(&r, e, 2), ERR_OK);
    replica_settle(&r);
    ck_assert_uint_eq(image_last(&r.disk), 13);
    replica_close(&r);
}
END_TEST

START_TEST(a_header_that_is_no_header_is_refused)
{
    struct replica r;
    open_follower(&r);
    struct raft_message m = {.from = 1, .header = bytes_text("\x0a\xff\xff\xff\xff\xff")};
    ck_assert_int_eq(raft_step(r.raft, &m, NULL), ERR_PROTOCOL);
    m.header = bytes_of("", 0);
    ck_assert_int_eq(raft_step(r.raft, &m, NULL), ERR_PROTOCOL);
    struct blob *large = blob_create(RAFT_HEADER_MAX + 1);
    memset(large->data, 0, large->len);
    m.header = blob_view(large);
    ck_assert_int_eq(raft_step(r.raft, &m, NULL), ERR_TOO_LARGE);
    blob_unref(large);
    replica_close(&r);
}
END_TEST

START_TEST(a_commit_beyond_the_log_shows_that_entries_were_lost)
{
    struct replica r;
    open_follower(&r);
    struct field fields[FIELDS_MAX];
    size_t count = append_fields(fields);
    field_set(fields, &count, F_KIND, RAFT_HEARTBEAT);
    field_set(fields, &count, F_INDEX, 0);
    field_set(fields, &count, F_LOG_TERM, 0);
    field_set(fields, &count, F_COMMIT, 12);
    ck_assert_int_eq(deliver(&r, 1, fields, count, NULL, 0), ERR_CORRUPT);
    ck_assert_uint_eq(replica_status(&r).commit, 8);
    field_set(fields, &count, F_COMMIT, 11);
    ck_assert_int_eq(deliver(&r, 1, fields, count, NULL, 0), ERR_OK);
    ck_assert_uint_eq(replica_status(&r).commit, 11);
    replica_settle(&r);
    replica_close(&r);
}
END_TEST

START_TEST(an_answer_of_a_stranger_is_ignored)
{
    struct replica r;
    open_follower(&r);
    struct field fields[FIELDS_MAX];
    size_t count = append_fields(fields);
    field_set(fields, &count, F_KIND, RAFT_APPEND_RESPONSE);
    field_set(fields, &count, F_FROM, 9);
    ck_assert_int_eq(deliver(&r, 9, fields, count, NULL, 0), ERR_NOT_FOUND);
    ck_assert(!raft_has_ready(r.raft));
    replica_close(&r);
}
END_TEST

/* ---------------------------------------------------------------- by the thousand */

static uint64_t telling(struct random *random, const struct replica *r)
{
    struct raft_status s = replica_status(r);
    const uint64_t values[] = {0,
                               1,
                               2,
                               3,
                               s.term - 1,
                               s.term,
                               s.term + 1,
                               s.commit - 1,
                               s.commit,
                               s.commit + 1,
                               s.first_index - 1,
                               s.first_index,
                               s.last_index - 1,
                               s.last_index,
                               s.last_index + 1,
                               s.last_index + 1000,
                               RAFT_TERM_MAX - 1,
                               RAFT_TERM_MAX,
                               RAFT_TERM_MAX + 1,
                               UINT64_MAX - 1,
                               UINT64_MAX,
                               random_next(random),
                               random_below(random, 20)};
    return values[random_below(random, sizeof values / sizeof values[0])];
}

static void mutate_fields(struct random *random, const struct replica *r, struct field *fields, size_t *count)
{
    for (uint64_t n = 1 + random_below(random, 3); n > 0; n--) {
        uint64_t what = random_below(random, 10);
        if (what < 7)
            field_set(fields, count, 1 + random_below(random, 16), telling(random, r));
        else if (what < 8 && *count > 1)
            field_drop(fields, count, (size_t)random_below(random, *count));
        else
            field_set(fields, count, F_KIND, 3 + random_below(random, 7));
    }
}

/* Changes bytes inside of embedded messages (a snapshot's metadata), keeping what is around them. */
static void mutate_text(struct random *random, struct field *fields, size_t count, struct buffer *copy)
{
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].text || fields[i].bytes.len == 0)
            continue;
        buffer_clear(copy);
        buffer_put(copy, fields[i].bytes.data, fields[i].bytes.len);
        for (uint64_t n = 1 + random_below(random, 3); n > 0; n--)
            copy->data[random_below(random, copy->len)] = (uint8_t)random_below(random, 12);
        fields[i].bytes = buffer_view(copy);
        return;
    }
}

static void mutate_entries(struct random *random, const struct replica *r, struct raft_message *m)
{
    struct raft_entry *entries = (struct raft_entry *)m->entries;
    if (m->entry_count == 0)
        return;
    struct raft_entry *e = &entries[random_below(random, m->entry_count)];
    switch (random_below(random, 5)) {
    case 0:
        e->index = telling(random, r);
        break;
    case 1:
        e->term = telling(random, r);
        break;
    case 2:
        e->kind = (uint32_t)random_below(random, 4);
        break;
    case 3:
        e->len = e->len > 0 ? (size_t)random_below(random, e->len) : 0;
        break;
    default:
        m->entry_count--;
    }
}

static struct blob *flipped(struct random *random, struct blob *b)
{
    struct blob *copy = blob_copy(blob_view(b));
    for (uint64_t n = 1 + random_below(random, 4); n > 0; n--)
        copy->data[random_below(random, copy->len)] ^= (uint8_t)(1u << random_below(random, 8));
    return copy;
}

struct tally {
    size_t accepted;
    size_t refused;
};

static void attack(struct random *random, struct replica *r, const struct letter *l, struct tally *tally)
{
    struct blob *bytes = random_below(random, 5) == 0 ? flipped(random, l->bytes) : blob_ref(l->bytes);
    struct raft_message m;
    if (envelope_decode(bytes, blob_view(bytes), &m, NULL) == ERR_OK) {
        struct field fields[FIELDS_MAX];
        struct buffer text = {0}, header = {0};
        m.from = random_below(random, 10) == 0 ? random_below(random, 5) : l->from;
        if (bytes_equal(blob_view(bytes), blob_view(l->bytes))) {
            size_t count = fields_read(m.header, fields);
            if (random_below(random, 4) > 0)
                mutate_fields(random, r, fields, &count);
            if (random_below(random, 3) == 0)
                mutate_text(random, fields, count, &text);
            if (random_below(random, 3) == 0)
                mutate_entries(random, r, &m);
            fields_write(fields, count, &header);
            m.header = buffer_view(&header);
        }
        if (raft_step(r->raft, &m, NULL) == ERR_OK)
            tally->accepted++;
        else
            tally->refused++;
        envelope_free(&m);
        buffer_close(&header);
        buffer_close(&text);
    }
    blob_unref(bytes);
}

/* A cluster at work, its messages altered on the way. What it decides then means nothing; that it goes on does. */
static void round_of(uint64_t seed, struct tally *tally)
{
    struct network n;
    struct random random;
    random_open(&random, seed);
    network_open(&n, 3, 4, seed, &faults_none);
    n.faults.delay_ms = 8;
    network_run(&n, 300 + random_below(&random, 500));
    n.check = false;
    n.churn = random_below(&random, 2) == 0;
    for (uint64_t id = 1; id <= 4; id++)
        network_replica(&n, id)->hostile = true;
    for (int i = 0; i < MUTATIONS; i++) {
        network_run(&n, 1 + random_below(&random, 10));
        if (n.flying_count == 0)
            continue;
        struct letter l = n.flying[random_below(&random, n.flying_count)].letter;
        struct replica *r = network_replica(&n, l.to);
        if (r->raft == NULL || replica_status(r).failed)
            break;
        blob_ref(l.bytes);
        attack(&random, r, &l, tally);
        blob_unref(l.bytes);
        replica_drain(r);
    }
    network_close(&n);
}

START_TEST(altered_messages_never_end_the_process)
{
    struct tally tally = {0};
    for (uint64_t i = 0; i < ROUNDS; i++)
        round_of(1 + i, &tally);
    ck_assert_uint_gt(tally.accepted, 500);
    ck_assert_uint_gt(tally.refused, 500);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile peers");
    TCase *t = tcase_create("hostile peers");
    tcase_add_test(t, a_header_must_say_what_can_be);
    tcase_add_test(t, entries_must_follow_one_another);
    tcase_add_test(t, a_header_that_is_no_header_is_refused);
    tcase_add_test(t, a_commit_beyond_the_log_shows_that_entries_were_lost);
    tcase_add_test(t, an_answer_of_a_stranger_is_ignored);
    tcase_add_test(t, altered_messages_never_end_the_process);
    tcase_set_timeout(t, 0);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
