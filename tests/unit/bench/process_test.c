#include "bench/process.h"

#include <check.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/wire.h"

START_TEST(memory_is_read_from_the_kernels_text)
{
    struct process_usage u = {0};
    ck_assert(process_parse_status("Name:\thatod\nVmPeak:\t  999 kB\nVmHWM:\t  300000 kB\nVmRSS:\t  1024 kB\n", &u));
    ck_assert_uint_eq(u.memory_bytes, 1024 * 1024);
    ck_assert_uint_eq(u.memory_peak_bytes, 300000 * 1024);
    ck_assert(!process_parse_status("Name:\tkthreadd\nThreads:\t1\n", &u));
    ck_assert(!process_parse_status("", &u));
}
END_TEST

START_TEST(a_name_with_brackets_and_numbers_does_not_confuse_the_cpu_time)
{
    struct process_usage u = {0};
    ck_assert(
        process_parse_stat("77 (a) R (1 2) S 1 77 77 0 -1 4194304 5 6 7 8 250 50 9 9 20 0 1 0 4711 0 0", 100, &u));
    ck_assert_uint_eq(u.cpu_ns, 3000000000u);
    ck_assert(!process_parse_stat("77 (cut off) S 1 77", 100, &u));
    ck_assert(!process_parse_stat("", 100, &u));
}
END_TEST

START_TEST(a_process_can_watch_itself_and_one_that_is_not_there_is_an_error)
{
    struct process_usage u;
    ck_assert_int_eq(process_usage(getpid(), &u, NULL), ERR_OK);
    ck_assert_uint_gt(u.memory_bytes, 0);
    ck_assert_uint_ge(u.memory_peak_bytes, u.memory_bytes);
    struct error e = {0};
    ck_assert_int_eq(process_usage(-1, &u, &e), ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_program_that_ends_at_once_is_reported_with_its_last_words_and_leaves_no_files)
{
    char dir[] = "/tmp/hato-bench-test-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct process p;
    struct error e = {0};
    /* A test program complains of flags it does not know in the way any server does: a line, and out. */
    ck_assert_int_eq(process_start(&p, PROCESS_LIMIT, "/bin/ls", dir, &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.message, "--help"));
    ck_assert_int_eq(process_start(&p, PROCESS_BROKER, "/no/such/program", dir, &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.message, "/no/such/program"));
    ck_assert_int_eq(process_start(&p, PROCESS_BROKER, "/bin/true", "/no/such/folder", &e), ERR_IO);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* Whether a server's folder, with its output, is in `dir`. */
static bool has_files(const char *dir)
{
    char pattern[64];
    snprintf(pattern, sizeof(pattern), "%s/*/output", dir);
    glob_t found = {0};
    bool any = glob(pattern, 0, NULL, &found) == 0;
    globfree(&found);
    return any;
}

START_TEST(files_are_removed_also_when_the_benchmark_is_killed)
{
    char dir[] = "/tmp/hato-bench-test-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    pid_t pid = fork();
    if (pid == 0) {
        struct process p;
        /* Listens nowhere: the start never ends. */
        static const char *const script = "#!/bin/sh\nexec sleep 1000\n";
        char program[64];
        snprintf(program, sizeof(program), "%s.sh", dir);
        FILE *f = fopen(program, "w");
        fputs(script, f);
        fclose(f);
        chmod(program, 0700);
        process_start(&p, PROCESS_BROKER, program, dir, NULL);
        _exit(0);
    }
    /* Killed once there is something to remove. */
    while (!has_files(dir))
        usleep(1000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (rmdir(dir) != 0)
        usleep(1000);
    char program[64];
    snprintf(program, sizeof(program), "%s.sh", dir);
    unlink(program);
}
END_TEST

START_TEST(a_free_port_takes_no_connections)
{
    int port = 0;
    ck_assert_int_eq(process_free_port(&port, NULL), ERR_OK);
    ck_assert_int_gt(port, 0);
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    struct wire w;
    ck_assert_int_eq(wire_open(&w, address, NULL), ERR_IO);
    wire_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("process");
    TCase *c = tcase_create("process");
    tcase_add_test(c, memory_is_read_from_the_kernels_text);
    tcase_add_test(c, a_name_with_brackets_and_numbers_does_not_confuse_the_cpu_time);
    tcase_add_test(c, a_process_can_watch_itself_and_one_that_is_not_there_is_an_error);
    tcase_add_test(c, a_program_that_ends_at_once_is_reported_with_its_last_words_and_leaves_no_files);
    tcase_add_test(c, files_are_removed_also_when_the_benchmark_is_killed);
    tcase_add_test(c, a_free_port_takes_no_connections);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
