#include <stdio.h>

#include "base/human.h"
#include "cli/text.h"
#include "cli/view.h"

const char *const view_kinds[] = {"standard", "fifo", NULL};
const char *const view_exhausted[] = {"dead-letter", "halt-group", NULL};
const char *const view_scopes[] = {"queue", "group", NULL};

/* ---------------------------------------------------------------- JSON */

void view_counts_json(struct json *j, const struct hato_counts *c)
{
    json_number(j, "ready", c->ready);
    json_number(j, "in_flight", c->in_flight);
    json_number(j, "delayed", c->delayed);
    json_number(j, "bytes", c->bytes);
    json_number(j, "oldest_sent_ms", c->oldest_sent_ms);
    json_number(j, "moving", c->moving);
    json_number(j, "halted_groups", c->halted_groups);
    json_number(j, "sent_total", c->sent_total);
    json_number(j, "received_total", c->received_total);
    json_number(j, "acked_total", c->acked_total);
    json_number(j, "dead_lettered_total", c->dead_lettered_total);
    json_number(j, "dead_letters_refused_total", c->dead_letters_refused_total);
    json_number(j, "expired_total", c->expired_total);
}

static void binding_json(struct json *j, const struct hato_queue_settings *s)
{
    if (s->function == NULL || s->function[0] == '\0')
        return;
    json_object(j, "binding");
    json_text(j, "function", s->function);
    json_number(j, "batch_size", s->binding.batch_size);
    json_number(j, "window_ms", s->binding.window_ms);
    json_number(j, "max_concurrency", s->binding.max_concurrency);
    json_bool(j, "paused", s->binding.paused);
    json_object_end(j);
}

static void settings_json(struct json *j, const struct hato_queue_settings *s)
{
    json_object(j, "settings");
    json_text(j, "kind", view_name(view_kinds, (int)s->kind));
    json_number(j, "visibility_ms", s->visibility_ms);
    json_number(j, "delay_ms", s->delay_ms);
    json_number(j, "retention_ms", s->retention_ms);
    json_number(j, "max_message_bytes", s->max_message_bytes);
    json_number(j, "max_messages", s->max_messages);
    json_number(j, "max_bytes", s->max_bytes);
    json_number(j, "max_in_flight", s->max_in_flight);
    json_number(j, "receive_wait_ms", s->receive_wait_ms);
    json_text(j, "dead_letter_queue", s->dead_letter != NULL ? s->dead_letter : "");
    json_number(j, "max_receives", s->max_receives);
    json_text(j, "on_exhausted", view_name(view_exhausted, (int)s->on_exhausted));
    json_bool(j, "content_deduplication", s->content_deduplication);
    json_number(j, "deduplication_window_ms", s->deduplication_window_ms);
    json_text(j, "deduplication_scope", view_name(view_scopes, (int)s->deduplication_scope));
    json_object(j, "group_weights");
    for (size_t i = 0; i < s->group_weight_count; i++)
        json_number(j, s->group_weights[i].group, s->group_weights[i].weight);
    json_object_end(j);
    binding_json(j, s);
    json_object_end(j);
}

static void waited_json(struct json *j, const struct hato_histogram *h)
{
    if (h->bucket_count == 0)
        return;
    json_object(j, "waited");
    json_number(j, "count", h->count);
    json_number(j, "sum_ms", h->sum_ms);
    json_list(j, "buckets");
    for (size_t i = 0; i < h->bucket_count; i++) {
        json_object(j, NULL);
        json_number(j, "upper_ms", h->buckets[i].upper_ms);
        json_number(j, "count", h->buckets[i].count);
        json_object_end(j);
    }
    json_list_end(j);
    json_object_end(j);
}

void view_queue_json(struct json *j, const struct hato_queue *q)
{
    json_object(j, NULL);
    json_text(j, "name", q->name);
    json_text(j, "arn", q->arn);
    json_number(j, "shard", q->shard);
    view_counts_json(j, &q->counts);
    json_number(j, "created_ms", q->created_ms);
    json_number(j, "modified_ms", q->modified_ms);
    settings_json(j, &q->settings);
    waited_json(j, &q->waited);
    json_object_end(j);
}

void view_redrive_json(struct json *j, const struct hato_redrive *r)
{
    json_object(j, NULL);
    json_text(j, "id", r->id);
    json_text(j, "queue", r->queue);
    json_text(j, "destination", r->destination);
    json_text(j, "reason", r->reason);
    json_real(j, "rate", r->rate);
    json_text(j, "state", r->state);
    json_number(j, "moved", r->moved);
    json_number(j, "skipped", r->skipped);
    json_number(j, "total", r->total);
    json_number(j, "started_ms", r->started_ms);
    json_number(j, "ended_ms", r->ended_ms);
    json_object_end(j);
}

/* ---------------------------------------------------------------- for people */

static void line_count(const char *name, uint64_t n)
{
    char text[TEXT_MAX];
    printf("  %-22s %s\n", name, text_count(n, text));
}

static void line_duration(const char *name, uint64_t ms)
{
    char text[HUMAN_TEXT_MAX];
    printf("  %-22s %s\n", name, human_duration_text(ms, text));
}

static void line_size(const char *name, uint64_t bytes)
{
    char text[HUMAN_TEXT_MAX];
    printf("  %-22s %s\n", name, human_size_text(bytes, text));
}

static void line_limit(const char *name, uint64_t n)
{
    if (n == 0)
        printf("  %-22s none\n", name);
    else
        line_count(name, n);
}

static void line_text(const char *name, const char *text)
{
    printf("  %-22s %s\n", name, text != NULL && text[0] != '\0' ? text : "none");
}

static void counts_lines(const struct hato_counts *c)
{
    char age[TEXT_MAX];
    line_count("ready", c->ready);
    line_count("in flight", c->in_flight);
    line_count("delayed", c->delayed);
    line_size("size", c->bytes);
    printf("  %-22s %s\n", "oldest", text_age(c->oldest_sent_ms, text_now_ms(), age));
    if (c->moving > 0)
        line_count("moving", c->moving);
    if (c->halted_groups > 0)
        line_count("halted groups", c->halted_groups);
    line_count("sent", c->sent_total);
    line_count("received", c->received_total);
    line_count("acked", c->acked_total);
    line_count("dead-lettered", c->dead_lettered_total);
    if (c->dead_letters_refused_total > 0)
        line_count("dead letters refused", c->dead_letters_refused_total);
    line_count("expired", c->expired_total);
}

static void fifo_lines(const struct hato_queue_settings *s)
{
    if (s->kind == HATO_FIFO)
        line_text("on exhausted", view_name(view_exhausted, (int)s->on_exhausted));
    line_text("content deduplication", s->content_deduplication ? "on" : "off");
    line_duration("deduplication window", s->deduplication_window_ms);
    line_text("deduplication scope", view_name(view_scopes, (int)s->deduplication_scope));
    for (size_t i = 0; i < s->group_weight_count; i++) {
        printf("  %-22s ", i == 0 ? "group weights" : "");
        text_print(stdout, s->group_weights[i].group);
        printf("=%u\n", s->group_weights[i].weight);
    }
}

static void binding_lines(const struct hato_queue_settings *s)
{
    char window[HUMAN_TEXT_MAX];
    line_text("function", s->function);
    if (s->function == NULL || s->function[0] == '\0')
        return;
    printf("  %-22s batch %u, window %s, concurrency %u%s\n", "binding", s->binding.batch_size,
           human_duration_text(s->binding.window_ms, window), s->binding.max_concurrency,
           s->binding.paused ? ", PAUSED" : "");
}

static void settings_lines(const struct hato_queue_settings *s)
{
    line_text("kind", view_name(view_kinds, (int)s->kind));
    line_duration("visibility", s->visibility_ms);
    line_duration("delay", s->delay_ms);
    line_duration("retention", s->retention_ms);
    line_size("largest message", s->max_message_bytes);
    line_limit("most messages", s->max_messages);
    if (s->max_bytes == 0)
        line_text("most bytes", NULL);
    else
        line_size("most bytes", s->max_bytes);
    line_limit("most in flight", s->max_in_flight);
    line_duration("receive wait", s->receive_wait_ms);
    line_text("dead-letter queue", s->dead_letter);
    if ((s->dead_letter != NULL && s->dead_letter[0] != '\0') || s->on_exhausted == HATO_HALT_GROUP)
        line_count("max receives", s->max_receives);
    fifo_lines(s);
    binding_lines(s);
}

static void waited_lines(const struct hato_histogram *h)
{
    uint64_t below = 0;
    if (h->count == 0)
        return;
    printf("waited before the first receive (mean %llu ms)\n", (unsigned long long)(h->sum_ms / h->count));
    for (size_t i = 0; i < h->bucket_count; i++) {
        char upper[HUMAN_TEXT_MAX] = "longer";
        below += h->buckets[i].count;
        if (h->buckets[i].count == 0)
            continue;
        if (h->buckets[i].upper_ms != 0)
            human_duration_text(h->buckets[i].upper_ms, upper);
        printf("  %s%-8s %12llu  %5.1f%%\n", h->buckets[i].upper_ms != 0 ? "< " : "  ", upper,
               (unsigned long long)h->buckets[i].count, 100.0 * (double)below / (double)h->count);
    }
}

void view_queue(const struct hato_queue *q)
{
    char at[TEXT_MAX];
    printf("%s\n  %-22s %s\n  %-22s %u\n  %-22s %s\n", q->name, "arn", q->arn, "shard", q->shard, "created",
           text_time(q->created_ms, at));
    printf("messages\n");
    counts_lines(&q->counts);
    printf("settings\n");
    settings_lines(&q->settings);
    waited_lines(&q->waited);
}
