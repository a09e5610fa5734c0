#include <stdio.h>

#include "base/human.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"

const char *const view_formats[] = {"raw", "lambda", "cloudevents", "cloudevents-structured", NULL};

static void attempts_json(struct json *j, const struct hato_function *f)
{
    json_list(j, "attempts");
    for (size_t i = 0; i < f->attempt_count; i++) {
        const struct hato_attempt *a = &f->attempts[i];
        json_object(j, NULL);
        json_number(j, "started_ms", a->started_ms);
        json_number(j, "duration_ms", a->duration_ms);
        json_number(j, "status", a->status);
        json_text(j, "error", a->error);
        json_data(j, "answer", a->answer.data, a->answer.len);
        json_number(j, "messages", a->messages);
        json_text(j, "queue", a->queue);
        json_object_end(j);
    }
    json_list_end(j);
}

static void settings_json(struct json *j, const struct hato_function_settings *s)
{
    json_object(j, "settings");
    json_text(j, "url", s->url);
    json_text(j, "format", view_name(view_formats, (int)s->format));
    json_number(j, "timeout_ms", s->timeout_ms);
    json_number(j, "max_concurrency", s->max_concurrency);
    json_number(j, "retry_min_ms", s->retry_min_ms);
    json_number(j, "retry_max_ms", s->retry_max_ms);
    json_list(j, "headers");
    for (size_t i = 0; i < s->header_count; i++)
        json_text(j, NULL, s->headers[i]);
    json_list_end(j);
    json_text(j, "content_type", s->content_type);
    json_real(j, "rate", s->rate);
    json_object_end(j);
}

void view_function_json(struct json *j, const struct hato_function *f)
{
    json_object(j, NULL);
    json_text(j, "name", f->name);
    json_text(j, "state", f->state);
    json_number(j, "in_flight", f->in_flight);
    json_number(j, "window", f->window);
    json_number(j, "delivered_total", f->delivered_total);
    json_number(j, "failed_total", f->failed_total);
    json_text(j, "last_error", f->last_error);
    json_number(j, "retry_at_ms", f->retry_at_ms);
    json_number(j, "created_ms", f->created_ms);
    json_number(j, "modified_ms", f->modified_ms);
    json_list(j, "queues");
    for (size_t i = 0; i < f->queue_count; i++)
        json_text(j, NULL, f->queues[i]);
    json_list_end(j);
    json_number(j, "queues_total", f->queues_total);
    settings_json(j, &f->settings);
    attempts_json(j, f);
    json_bool(j, "partial", f->partial);
    json_object_end(j);
}

static void line(const char *name, const char *value)
{
    printf("  %-18s ", name);
    text_print(stdout, value[0] != '\0' ? value : "none");
    printf("\n");
}

static void attempts_table(const struct hato_function *f)
{
    if (f->attempt_count == 0)
        return;
    struct table t;
    table_open(&t, "  ATTEMPT|>TOOK|>STATUS|>MESSAGES|QUEUE|ANSWER");
    for (size_t i = 0; i < f->attempt_count; i++) {
        const struct hato_attempt *a = &f->attempts[i];
        char at[TEXT_MAX], took[HUMAN_TEXT_MAX], answer[200];
        const void *said = a->status == 0 ? (const void *)a->error : a->answer.data;
        text_line(said, a->status == 0 ? strlen(a->error) : a->answer.len, 60, answer, sizeof answer);
        table_cell(&t, "  %s", text_time(a->started_ms, at));
        table_cell(&t, "%s", human_duration_text(a->duration_ms, took));
        table_cell(&t, "%s%.0u", a->status == 0 ? "-" : "", a->status);
        table_cell(&t, "%u", a->messages);
        table_cell(&t, "%s", a->queue);
        table_cell(&t, "%s", answer);
    }
    table_print(&t);
}

static void settings_lines(const struct hato_function_settings *s)
{
    char text[HUMAN_TEXT_MAX], other[HUMAN_TEXT_MAX];
    line("url", s->url);
    line("format", view_name(view_formats, (int)s->format));
    line("timeout", human_duration_text(s->timeout_ms, text));
    printf("  %-18s %u\n", "max concurrency", s->max_concurrency);
    printf("  %-18s %s to %s\n", "retry pauses", human_duration_text(s->retry_min_ms, text),
           human_duration_text(s->retry_max_ms, other));
    if (s->rate > 0)
        printf("  %-18s %g requests/s\n", "rate", s->rate);
    for (size_t i = 0; i < s->header_count; i++)
        line(i == 0 ? "headers" : "", s->headers[i]);
    line("content type", s->content_type);
}

void view_function(const struct hato_function *f)
{
    char text[TEXT_MAX];
    printf("%s\n", f->name);
    line("state", f->state);
    if (f->partial)
        line("partial", "a node that delivers to it did not answer: what it knows is not in here");
    if (f->retry_at_ms != 0)
        line("next probe in", text_age(f->retry_at_ms, text_now_ms(), text));
    printf("  %-18s %u of %u requests\n", "in flight", f->in_flight, f->window);
    line("delivered", text_count(f->delivered_total, text));
    line("failed", text_count(f->failed_total, text));
    line("last error", f->last_error);
    for (size_t i = 0; i < f->queue_count; i++)
        line(i == 0 ? "queues" : "", f->queues[i]);
    if (f->queues_total > f->queue_count)
        printf("  %-18s and %s more\n", "", text_count(f->queues_total - f->queue_count, text));
    line("created", text_time(f->created_ms, text));
    settings_lines(&f->settings);
    attempts_table(f);
}
