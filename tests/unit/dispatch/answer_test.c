#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"
#include "dispatch/job.h"

static const struct {
    int status;
    bool counted;
} statuses[] = {{200, false}, {204, false}, {301, true},  {302, true},  {307, true},  {400, true},
                {401, true},  {403, true},  {404, true},  {408, true},  {409, true},  {422, true},
                {429, false}, {500, true},  {501, true},  {502, false}, {503, false}, {504, false},
                {505, true},  {522, false}, {526, false}, {599, true}};

START_TEST(a_status_decides_whether_the_receive_counts)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.status = statuses[_i].status;
    f.body = "so \x01 \xff it\nis";
    f.headers = f.status >= 300 && f.status < 400 ? "Location: http://127.0.0.1:1/elsewhere\r\n" : "";
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    struct fake_message *m = &f.source->messages[0];
    bool ok = f.status < 300;
    ck_assert_uint_eq(m->failures, statuses[_i].counted ? 1 : 0);
    ck_assert_uint_eq(m->returns, ok || statuses[_i].counted ? 0 : 1);
    ck_assert_uint_eq(f.web.requests, ok ? 1 : 2);
    if (!ok) {
        char want[64];
        snprintf(want, sizeof want, "HTTP %d: so   ? it is", f.status);
        ck_assert_str_eq(m->error, want);
        ck_assert_uint_eq(m->status, (unsigned)f.status);
        if (statuses[_i].counted)
            ck_assert_uint_ge(m->delay_ms, 1);
        else
            ck_assert_uint_eq(m->delay_ms, f.status == 502 || f.status == 504 ? JOB_SILENT_MS : 0);
        ck_assert_str_eq(fixture_info(&f).last_error, want);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(a_gone_endpoint_costs_nothing_and_is_shown_as_gone)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.status = 410;
    fixture_start(&f);
    fixture_fill(&f, 30, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_GONE && f.source->out == 0);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 0);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 0);
    /* New settings are the cure. */
    f.status = 200;
    fixture_change(&f, &f.function);
    RUN_UNTIL(&f, f.source->acked == 30);
    fixture_close(&f);
}
END_TEST

START_TEST(a_failing_message_waits_longer_each_time)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.status = 500;
    f.function.retry_min_ms = 2;
    f.function.retry_max_ms = 16;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    struct fake_message *m = &f.source->messages[0];
    for (uint32_t n = 1; n <= 6; n++) {
        RUN_UNTIL(&f, m->failures == n);
        uint64_t top = 2u << n;
        ck_assert_uint_ge(m->delay_ms, 2);
        ck_assert_uint_le(m->delay_ms, top < 16 ? top : 16);
    }
    f.status = 200;
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 6);
    fixture_close(&f);
}
END_TEST

START_TEST(retry_after_of_a_failed_message_is_its_delay)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.status = 500;
    f.headers = "Retry-After: 1\r\n";
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].failures == 1);
    ck_assert_uint_eq(f.source->messages[0].delay_ms, 1000);
    RUN_UNTIL(&f, f.source->acked == 1);
    fixture_close(&f);
}
END_TEST

START_TEST(retry_after_of_a_throttling_endpoint_holds_everything_back)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.status = 429;
    f.headers = "Retry-After: 1\r\n";
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    uint64_t before = uv_hrtime();
    RUN_UNTIL(&f, f.source->messages[0].returns == 1);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_int_eq(info.state, DISPATCHER_OPEN);
    ck_assert_uint_gt(info.retry_at_ms, 0);
    uint32_t leases = f.source->leases;
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->leases > leases);
    ck_assert_uint_ge(uv_hrtime() - before, 990 * 1000000ull);
    RUN_UNTIL(&f, f.source->acked == 21);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 0);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_loop_test(c, a_status_decides_whether_the_receive_counts, 0, sizeof statuses / sizeof statuses[0]);
    tcase_add_test(c, a_gone_endpoint_costs_nothing_and_is_shown_as_gone);
    tcase_add_test(c, a_failing_message_waits_longer_each_time);
    tcase_add_test(c, retry_after_of_a_failed_message_is_its_delay);
    tcase_add_test(c, retry_after_of_a_throttling_endpoint_holds_everything_back);
}

int main(void)
{
    return fixture_main("answer", add);
}
