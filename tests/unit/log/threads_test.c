/* The log with its own threads, on the machine's disk: loops submit, other threads read, files are used again. */
#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include "log_fixture.h"

enum { LOOPS = 3, ROUNDS = 300, READERS = 2 };

static char directory[64];

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/hato-log-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
    char path[512], log[128];
    snprintf(log, sizeof log, "%s/log", directory);
    DIR *d = opendir(log);
    for (const struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", log, entry->d_name);
        unlink(path);
    }
    if (d != NULL)
        closedir(d);
    rmdir(log);
    rmdir(directory);
}

static struct log *open_threaded(uint64_t seed)
{
    char dir[80];
    snprintf(dir, sizeof dir, "%s/log", directory);
    struct log_options options = {
        .disk = disk_real(),
        .dir = dir,
        .seed = seed,
        .segment_bytes = 256 << 10,
        .window_bytes = 1 << 20,
        .threaded = true,
        .compress = true,
        .free_bytes_min = 1,
    };
    struct log *log;
    struct error e = {0};
    ck_assert_msg(log_open(&options, &log, &e) == ERR_OK, "%s", e.message);
    return log;
}

struct loop {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool awake;
    struct log *log;
    struct log_port *port;
    struct log_group *group;
    uint32_t number;
    size_t in_flight;
    uint64_t completed; /* the last index */
    _Atomic uint64_t readable_first, readable_last;
};

static void loop_wake(void *ctx)
{
    struct loop *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->awake = true;
    pthread_cond_signal(&l->woken);
    pthread_mutex_unlock(&l->lock);
}

static void loop_wait(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->awake)
        pthread_cond_wait(&l->woken, &l->lock);
    l->awake = false;
    pthread_mutex_unlock(&l->lock);
    log_port_drain(l->port);
}

static struct model_entry entry_of(uint32_t group, uint64_t index)
{
    return (struct model_entry){1, (uint64_t)group << 32 | index, index % 17 == 0 ? 20000 : 300 + index % 900,
                                index % 3 != 0};
}

struct request {
    struct log_write write;
    struct loop *loop;
    uint64_t last;
};

static void request_done(struct log_write *w, int code)
{
    struct request *r = (struct request *)w;
    ck_assert_int_eq(code, ERR_OK);
    ck_assert_uint_gt(r->last, r->loop->completed); /* in order */
    r->loop->completed = r->last;
    r->loop->in_flight--;
    memory_free(r);
}

static void loop_submit(struct loop *l)
{
    struct log_entry entries[3];
    struct request *r = memory_zero(1, sizeof *r);
    size_t n = 1 + log_last(l->group) % 3;
    for (size_t i = 0; i < n; i++) {
        uint64_t index = log_last(l->group) + 1 + i;
        struct model_entry m = entry_of(l->number, index);
        struct blob *b = body_of(&m);
        entries[i] = (struct log_entry){index, 1, (uint8_t)(index % 7), blob_view(b), b};
    }
    struct log_hard_state state = {.term = 1, .vote = 1, .commit = log_last(l->group)};
    r->write = (struct log_write){.entries = entries, .entries_n = n, .state = &state, .done = request_done};
    r->loop = l;
    r->last = log_last(l->group) + n;
    l->in_flight++;
    log_submit(l->group, &r->write);
    for (size_t i = 0; i < n; i++)
        blob_unref(entries[i].owner);
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 4; i++)
            loop_submit(l);
        while (l->in_flight > 8)
            loop_wait(l);
        uint64_t durable = log_durable(l->group);
        log_release(l->group, durable);
        atomic_store(&l->readable_last, durable);
        if (log_above_window(l->log) && log_oldest_index(l->group, 0) > 0) {
            uint64_t upto = log_oldest_index(l->group, 0);
            atomic_store(&l->readable_first, upto + 1);
            log_compact(l->group, upto);
        }
        if (round % 50 == 0)
            log_check_space(l->log);
    }
    while (l->in_flight > 0)
        loop_wait(l);
    return NULL;
}

struct reader {
    pthread_t thread;
    struct loop *loops;
    atomic_bool *stop;
    uint64_t read;
    uint64_t seed;
};

static void read_one(struct reader *r, struct loop *l, uint64_t index)
{
    struct blob *body;
    struct error e = {0};
    int code = log_read(l->log, l->number, index, &body, &e);
    if (code == ERR_NOT_FOUND) {
        ck_assert_uint_lt(index, atomic_load(&l->readable_first));
        return;
    }
    ck_assert_msg(code == ERR_OK, "%s", e.message);
    struct model_entry m = entry_of(l->number, index);
    struct blob *want = body_of(&m);
    ck_assert(bytes_equal(blob_view(body), blob_view(want)));
    blob_unref(want);
    blob_unref(body);
    r->read++;
}

static void *reader_main(void *arg)
{
    struct reader *r = arg;
    struct random random;
    random_open(&random, r->seed);
    while (!atomic_load(r->stop)) {
        struct loop *l = &r->loops[random_below(&random, LOOPS)];
        uint64_t first = atomic_load(&l->readable_first), last = atomic_load(&l->readable_last);
        if (last >= first && last > 0)
            read_one(r, l, first + random_below(&random, last - first + 1));
        usleep(100);
    }
    return NULL;
}

static void check_after(uint64_t seed, const struct loop *loops)
{
    struct log *log = open_threaded(seed);
    struct log_port *port = log_port_create(log, loop_wake, NULL);
    for (uint32_t g = 0; g < LOOPS; g++) {
        struct log_group *group = log_group(log, g, port);
        ck_assert_uint_eq(log_last(group), loops[g].completed);
        for (uint64_t i = log_first(group); i <= log_last(group); i++) {
            struct model_entry m = entry_of(g, i);
            struct log_entry entry;
            struct error e = {0};
            ck_assert_msg(log_entry(group, i, &entry, &e) == ERR_OK, "%s", e.message);
            check_entry(&entry, i, &m);
            blob_unref(entry.owner);
        }
    }
    log_close(log);
}

START_TEST(loops_readers_writer_and_keeper_work_at_once)
{
    make_directory();
    struct log *log = open_threaded(1);
    static struct loop loops[LOOPS];
    struct reader readers[READERS];
    atomic_bool stop = false;
    for (uint32_t i = 0; i < LOOPS; i++) {
        loops[i] = (struct loop){.log = log, .number = i, .readable_first = 1};
        pthread_mutex_init(&loops[i].lock, NULL);
        pthread_cond_init(&loops[i].woken, NULL);
        loops[i].port = log_port_create(log, loop_wake, &loops[i]);
        loops[i].group = log_group(log, i, loops[i].port);
    }
    for (int i = 0; i < LOOPS; i++)
        pthread_create(&loops[i].thread, NULL, loop_main, &loops[i]);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.loops = loops, .stop = &stop, .seed = (uint64_t)i};
        pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]);
    }
    for (int i = 0; i < LOOPS; i++)
        pthread_join(loops[i].thread, NULL);
    atomic_store(&stop, true);
    uint64_t read = 0;
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        read += readers[i].read;
    }
    ck_assert_uint_gt(read, 0);
    ck_assert(!log_failed(log));
    ck_assert_uint_gt(log_first(loops[0].group), 1);
    log_close(log);
    check_after(2, loops);
    check_after(3, loops);
    remove_directory();
}
END_TEST

START_TEST(closing_completes_what_is_in_flight)
{
    make_directory();
    struct log *log = open_threaded(1);
    static struct loop loops[LOOPS];
    for (uint32_t i = 0; i < LOOPS; i++) {
        loops[i] = (struct loop){.log = log, .number = i};
        pthread_mutex_init(&loops[i].lock, NULL);
        pthread_cond_init(&loops[i].woken, NULL);
        loops[i].port = log_port_create(log, loop_wake, &loops[i]);
        loops[i].group = log_group(log, i, loops[i].port);
        for (int n = 0; n < 20; n++)
            loop_submit(&loops[i]);
    }
    log_close(log);
    for (uint32_t i = 0; i < LOOPS; i++)
        ck_assert_uint_eq(loops[i].in_flight, 0);
    check_after(2, loops);
    remove_directory();
}
END_TEST

START_TEST(a_directory_open_in_this_or_another_process_is_refused)
{
    make_directory();
    struct log *log = open_threaded(1);
    char dir[80];
    snprintf(dir, sizeof dir, "%s/log", directory);
    struct log_options options = {.disk = disk_real(), .dir = dir, .seed = 9};
    struct log *other;
    struct error e;
    ck_assert_int_eq(log_open(&options, &other, &e), ERR_EXISTS);
    ck_assert_msg(strstr(e.message, dir) != NULL, "%s", e.message);
    log_close(log);
    remove_directory();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log threads");
    TCase *t = tcase_create("threads");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, loops_readers_writer_and_keeper_work_at_once);
    tcase_add_test(t, closing_completes_what_is_in_flight);
    tcase_add_test(t, a_directory_open_in_this_or_another_process_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
