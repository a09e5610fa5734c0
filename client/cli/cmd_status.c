/* hato status */
#include <stdio.h>

#include "base/human.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"

static void shard_json(struct json *j, const struct hato_shard *s)
{
    json_object(j, NULL);
    json_number(j, "shard", s->shard);
    json_text(j, "role", s->role);
    json_number(j, "leader", s->leader);
    json_number(j, "term", s->term);
    json_number(j, "commit", s->commit);
    json_number(j, "applied", s->applied);
    json_number(j, "durable", s->durable);
    json_number(j, "queues", s->queues);
    json_text(j, "problem", s->problem);
    json_object_end(j);
}

static void print_json(const struct hato_status *s)
{
    struct json j = {0};
    json_object(&j, NULL);
    json_text(&j, "version", s->version);
    json_number(&j, "node", s->node);
    json_number(&j, "started_ms", s->started_ms);
    json_number(&j, "now_ms", s->now_ms);
    json_number(&j, "queues", s->queues);
    json_number(&j, "functions", s->functions);
    json_number(&j, "connections", s->connections);
    json_number(&j, "log_bytes", s->log_bytes);
    json_number(&j, "store_bytes", s->store_bytes);
    json_number(&j, "disk_free_bytes", s->disk_free_bytes);
    json_number(&j, "memory_bytes", s->memory_bytes);
    json_bool(&j, "accepts_sends", s->accepts_sends);
    view_counts_json(&j, &s->totals);
    json_list(&j, "shards");
    for (size_t i = 0; i < s->shard_count; i++)
        shard_json(&j, &s->shards[i]);
    json_list_end(&j);
    json_object_end(&j);
    json_print(&j);
    buffer_close(&j.out);
}

static void print_head(const struct hato_status *s)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX];
    printf("hato %s, node %llu, up %s\n", s->version, (unsigned long long)s->node,
           text_age(s->started_ms, s->now_ms, a));
    printf("  %s queues, %s functions, %s connections\n", text_count(s->queues, a), text_count(s->functions, b),
           text_count(s->connections, c));
    printf("  messages  %s ready, %s in flight, %s delayed, %s moving\n", text_count(s->totals.ready, a),
           text_count(s->totals.in_flight, b), text_count(s->totals.delayed, c), text_count(s->totals.moving, d));
    printf("  so far    %s sent, %s received, %s acked\n", text_count(s->totals.sent_total, a),
           text_count(s->totals.received_total, b), text_count(s->totals.acked_total, c));
    printf("            %s dead-lettered, %s expired\n", text_count(s->totals.dead_lettered_total, a),
           text_count(s->totals.expired_total, b));
    printf("  disk      log %s, store %s, free %s%s\n", human_size_text(s->log_bytes, a),
           human_size_text(s->store_bytes, b), human_size_text(s->disk_free_bytes, c),
           s->accepts_sends ? "" : "; SENDS REFUSED: make space");
    printf("  memory    %s\n", human_size_text(s->memory_bytes, a));
}

static void print_shards(const struct hato_status *s)
{
    struct table t;
    table_open(&t, ">SHARD|ROLE|>TERM|>COMMIT|>APPLIED|>DURABLE|>QUEUES|PROBLEM");
    for (size_t i = 0; i < s->shard_count; i++) {
        const struct hato_shard *x = &s->shards[i];
        char text[TEXT_MAX];
        table_cell(&t, "%u", x->shard);
        table_cell(&t, "%s", x->role);
        table_cell(&t, "%llu", (unsigned long long)x->term);
        table_cell(&t, "%s", text_count(x->commit, text));
        table_cell(&t, "%s", text_count(x->applied, text));
        table_cell(&t, "%s", text_count(x->durable, text));
        table_cell(&t, "%s", text_count(x->queues, text));
        table_cell(&t, "%s", x->problem);
    }
    table_print(&t);
}

static enum exit_code status(struct run *r)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, hato_status(r->client, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    if (r->globals.json) {
        print_json(reply->status);
    } else {
        print_head(reply->status);
        print_shards(reply->status);
    }
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code ping(struct run *r)
{
    enum exit_code code;
    uint64_t began = uv_hrtime();
    struct hato_reply *reply = command_wait(r, hato_ping(r->client, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    uint64_t us = (uv_hrtime() - began) / 1000;
    if (r->globals.json)
        printf("{\"us\":%llu}\n", (unsigned long long)us);
    else
        printf("answered in %llu us, connecting included\n", (unsigned long long)us);
    hato_reply_destroy(reply);
    return code;
}

const struct command status_commands[] = {
    {"status", "", "Shows the broker: totals, disk, memory, shards.", NULL, "hato status", 0, 0, NULL, 0, status},
    {"ping", "", "Asks whether the broker answers.", NULL, "hato ping --deadline 2s", 0, 0, NULL, 0, ping},
    {0},
};
