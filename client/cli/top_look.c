#include "base/memory.h"
#include "cli/top.h"
#include "cli/view.h"

void top_look_close(struct top_look *l)
{
    arena_close(&l->arena);
    map_close(&l->queue_by_name);
    map_close(&l->function_by_name);
    memory_free(l->queues);
    memory_free(l->functions);
    *l = (struct top_look){0};
}

static const char *copy(struct top_look *l, const char *text)
{
    return text != NULL ? arena_text(&l->arena, text, strlen(text)) : "";
}

void top_look_status(struct top_look *l, const struct hato_status *s, uint64_t at_ns)
{
    l->at_ns = at_ns;
    l->status = *s;
    l->status.version = copy(l, s->version);
    l->status.shards = NULL;
    l->status.shard_count = 0;
}

void top_look_queues(struct top_look *l, const struct hato_queue *queues, size_t count)
{
    l->queues = memory_grow(l->queues, l->queue_count + count, sizeof *l->queues);
    for (size_t i = 0; i < count; i++) {
        const struct hato_queue *q = &queues[i];
        l->queues[l->queue_count++] = (struct top_queue){
            .name = copy(l, q->name),
            .function = copy(l, q->settings.function),
            .paused = q->settings.binding.paused,
            .counts = q->counts,
            .sent_rate = -1,
            .received_rate = -1,
            .acked_rate = -1,
        };
    }
}

void top_look_functions(struct top_look *l, const struct hato_function *functions, size_t count)
{
    l->functions = memory_grow(l->functions, l->function_count + count, sizeof *l->functions);
    for (size_t i = 0; i < count; i++) {
        const struct hato_function *f = &functions[i];
        l->functions[l->function_count++] = (struct top_function){
            .name = copy(l, f->name),
            .state = copy(l, f->state),
            .last_error = copy(l, f->last_error),
            .partial = f->partial,
            .in_flight = f->in_flight,
            .window = f->window,
            .delivered_total = f->delivered_total,
            .failed_total = f->failed_total,
            .delivered_rate = -1,
            .failed_rate = -1,
        };
    }
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
    if (seconds <= 0 || now < before) /* counters begin anew with a new leader, or a new queue of the name */
        return -1;
    return (double)(now - before) / seconds;
}

static void index_names(struct top_look *l)
{
    for (size_t i = 0; i < l->queue_count; i++)
        map_put(&l->queue_by_name, bytes_text(l->queues[i].name), &l->queues[i]);
    for (size_t i = 0; i < l->function_count; i++)
        map_put(&l->function_by_name, bytes_text(l->functions[i].name), &l->functions[i]);
}

void top_look_rate(struct top_look *l, const struct top_look *before)
{
    double seconds = (double)(l->at_ns - before->at_ns) / 1e9;
    for (size_t i = 0; i < l->queue_count && before->at_ns != 0; i++) {
        struct top_queue *q = &l->queues[i];
        const struct top_queue *b = map_find(&before->queue_by_name, bytes_text(q->name));
        if (b == NULL)
            continue;
        q->sent_rate = rate(q->counts.sent_total, b->counts.sent_total, seconds);
        q->received_rate = rate(q->counts.received_total, b->counts.received_total, seconds);
        q->acked_rate = rate(q->counts.acked_total, b->counts.acked_total, seconds);
    }
    for (size_t i = 0; i < l->function_count && before->at_ns != 0; i++) {
        struct top_function *f = &l->functions[i];
        const struct top_function *b = map_find(&before->function_by_name, bytes_text(f->name));
        if (b == NULL || b->partial != f->partial)
            continue;
        f->delivered_rate = rate(f->delivered_total, b->delivered_total, seconds);
        f->failed_rate = rate(f->failed_total, b->failed_total, seconds);
    }
    index_names(l);
}

/* ---------------------------------------------------------------- JSON */

static void rate_json(struct json *j, const char *key, double v)
{
    if (v < 0)
        json_null(j, key);
    else
        json_real(j, key, v);
}

void top_json(struct json *j, const struct top_look *l)
{
    json_object(j, NULL);
    json_number(j, "now_ms", l->status.now_ms);
    json_list(j, "queues");
    for (size_t i = 0; i < l->queue_count; i++) {
        const struct top_queue *q = &l->queues[i];
        json_object(j, NULL);
        json_text(j, "name", q->name);
        view_counts_json(j, &q->counts);
        rate_json(j, "sent_per_s", q->sent_rate);
        rate_json(j, "received_per_s", q->received_rate);
        rate_json(j, "acked_per_s", q->acked_rate);
        json_text(j, "function", q->function);
        json_bool(j, "paused", q->paused);
        json_object_end(j);
    }
    json_list_end(j);
    json_list(j, "functions");
    for (size_t i = 0; i < l->function_count; i++) {
        const struct top_function *f = &l->functions[i];
        json_object(j, NULL);
        json_text(j, "name", f->name);
        json_text(j, "state", f->state);
        json_number(j, "in_flight", f->in_flight);
        json_number(j, "window", f->window);
        json_number(j, "delivered_total", f->delivered_total);
        json_number(j, "failed_total", f->failed_total);
        rate_json(j, "delivered_per_s", f->delivered_rate);
        rate_json(j, "failed_per_s", f->failed_rate);
        json_text(j, "last_error", f->last_error);
        json_bool(j, "partial", f->partial);
        json_object_end(j);
    }
    json_list_end(j);
    json_object_end(j);
}
