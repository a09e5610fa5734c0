#include "bench/limit/server.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/driver.h"
#include "bench/limit/frame.h"
#include "bench/wire.h"

enum { FILE_BYTES = 32 * 1024 * 1024 };

/* A limit server on a thread of its own. */
struct fixture {
    char file[64];
    char address[32];
    uv_loop_t loop;
    uv_async_t stop;
    struct server *server;
    pthread_t thread;
};

static void fixture_stop(uv_async_t *stop)
{
    uv_stop(stop->loop);
}

static void *fixture_run(void *arg)
{
    struct fixture *f = arg;
    uv_run(&f->loop, UV_RUN_DEFAULT);
    server_close(f->server);
    uv_close((uv_handle_t *)&f->stop, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void fixture_open(struct fixture *f, uint64_t file_bytes)
{
    strcpy(f->file, "/tmp/hato-limit-test-XXXXXX");
    close(mkstemp(f->file));
    uv_loop_init(&f->loop);
    uv_async_init(&f->loop, &f->stop, fixture_stop);
    f->server = calloc(1, sizeof(*f->server));
    ck_assert_int_eq(server_open(f->server, &f->loop, "127.0.0.1:0", f->file, file_bytes, true, NULL), ERR_OK);
    snprintf(f->address, sizeof(f->address), "127.0.0.1:%d", server_port(f->server));
    pthread_create(&f->thread, NULL, fixture_run, f);
}

static void fixture_close(struct fixture *f)
{
    uv_async_send(&f->stop);
    pthread_join(f->thread, NULL);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    server_free(f->server);
    free(f->server);
    unlink(f->file);
}

static off_t file_size(const struct fixture *f)
{
    struct stat s;
    ck_assert_int_eq(stat(f->file, &s), 0);
    return s.st_size;
}

static void send_many(const struct fixture *f, uint64_t count, uint32_t window, uint32_t size)
{
    struct load_config config = {.count = count, .window = window, .body_size = size};
    struct driver_config driver = {.server = f->address, .queue = "q", .mode = DRIVER_SEND, .batch = 1};
    struct load load;
    struct error e = {0};
    load_open(&load, &config);
    ck_assert_msg(driver_run(driver_find("limit"), &driver, &load, &e) == ERR_OK, "%s", e.message);
    ck_assert_uint_eq(load.done, count);
    ck_assert_uint_eq(load.latency.count, count);
    load_close(&load);
}

START_TEST(many_messages_pass)
{
    struct fixture f;
    fixture_open(&f, FILE_BYTES);
    send_many(&f, 5000, 1000, 100);
    send_many(&f, 20, 1, 0);
    fixture_close(&f);
}
END_TEST

static void wait_for_ack(struct wire *w, uint8_t number)
{
    while (wire_view(w).len < FRAME_ACK_BYTES)
        ck_assert_int_eq(wire_wait(w, UINT64_MAX, NULL), ERR_OK);
    const uint8_t ack[FRAME_ACK_BYTES] = {8, 0, 0, 0, number};
    ck_assert(bytes_equal(wire_view(w), bytes_of(ack, sizeof(ack))));
    wire_eat(w, FRAME_ACK_BYTES);
}

static void expect_in_file(const struct fixture *f, long page, const void *bytes, size_t len)
{
    uint8_t found[16] = {0};
    FILE *file = fopen(f->file, "rb");
    ck_assert_int_eq(fseek(file, page * WRITER_PAGE_BYTES, SEEK_SET), 0);
    ck_assert_uint_eq(fread(found, 1, sizeof(found), file), sizeof(found));
    fclose(file);
    ck_assert_mem_eq(found, bytes, len);
}

START_TEST(every_message_that_was_acked_is_in_the_file_which_is_used_again_and_never_grows)
{
    enum { PAGES = 3 };
    struct fixture f;
    fixture_open(&f, PAGES * WRITER_PAGE_BYTES);
    ck_assert_int_eq(file_size(&f), PAGES * WRITER_PAGE_BYTES);
    struct wire w;
    ck_assert_int_eq(wire_open(&w, f.address, NULL), ERR_OK);
    for (int i = 0; i < 2 * PAGES + 1; i++) {
        const uint8_t frame[] = {3, 0, 0, 0, 'a', 'b', (uint8_t)i};
        buffer_put(&w.out, frame, sizeof(frame));
        wait_for_ack(&w, (uint8_t)(i + 1));
        expect_in_file(&f, i % PAGES, frame, sizeof(frame));
    }
    ck_assert_int_eq(file_size(&f), PAGES * WRITER_PAGE_BYTES);
    wire_close(&w);
    fixture_close(&f);
}
END_TEST

START_TEST(messages_larger_than_all_buffers_pass)
{
    struct fixture f;
    fixture_open(&f, FILE_BYTES);
    send_many(&f, 8, 4, 5 * 1024 * 1024);
    ck_assert_int_eq(file_size(&f), FILE_BYTES);
    fixture_close(&f);
}
END_TEST

START_TEST(a_frame_in_pieces_is_acked_once_when_whole)
{
    struct fixture f;
    fixture_open(&f, FILE_BYTES);
    struct wire w;
    ck_assert_int_eq(wire_open(&w, f.address, NULL), ERR_OK);
    static const uint8_t frame[] = {3, 0, 0, 0, 'a', 'b', 'c'};
    for (size_t i = 0; i < sizeof(frame); i++) {
        ck_assert_uint_eq(wire_view(&w).len, 0);
        buffer_put(&w.out, &frame[i], 1);
        ck_assert_int_eq(wire_wait(&w, i + 1 < sizeof(frame) ? 0 : UINT64_MAX, NULL), ERR_OK);
    }
    wait_for_ack(&w, 1);
    wire_close(&w);
    fixture_close(&f);
}
END_TEST

START_TEST(a_frame_above_the_limit_ends_its_connection_alone)
{
    struct fixture f;
    fixture_open(&f, FILE_BYTES);
    struct wire w;
    ck_assert_int_eq(wire_open(&w, f.address, NULL), ERR_OK);
    buffer_u32(&w.out, FRAME_BODY_MAX + 1);
    ck_assert_int_eq(wire_wait(&w, UINT64_MAX, NULL), ERR_CLOSED);
    wire_close(&w);
    send_many(&f, 10, 10, 10);
    fixture_close(&f);
}
END_TEST

START_TEST(a_server_that_goes_away_is_an_error_not_a_hang)
{
    struct load_config config = {.count = 10, .window = 1, .body_size = 1};
    struct driver_config driver = {.server = "127.0.0.1:1", .queue = "q", .mode = DRIVER_SEND, .batch = 1};
    struct load load;
    struct error e = {0};
    load_open(&load, &config);
    ck_assert_int_eq(driver_run(driver_find("limit"), &driver, &load, &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.message, "127.0.0.1:1"));
    load_close(&load);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("limit");
    TCase *c = tcase_create("limit");
    tcase_add_test(c, many_messages_pass);
    tcase_add_test(c, every_message_that_was_acked_is_in_the_file_which_is_used_again_and_never_grows);
    tcase_add_test(c, messages_larger_than_all_buffers_pass);
    tcase_add_test(c, a_frame_in_pieces_is_acked_once_when_whole);
    tcase_add_test(c, a_frame_above_the_limit_ends_its_connection_alone);
    tcase_add_test(c, a_server_that_goes_away_is_an_error_not_a_hang);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
