#include "bench/load.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/random.h"
#include "bench/units.h"

enum { POOL_BYTES_MIN = 2 * 1024 * 1024, STAMP_BYTES = 8 };

static const uint64_t progress_ns = 1000000000u;
static const uint64_t stop_poll_ns = 100000000u;

void load_open(struct load *l, const struct load_config *config)
{
    ASSERT(config->window > 0 && config->window <= LOAD_WINDOW_MAX && config->body_size <= LOAD_BODY_MAX);
    *l = (struct load){.config = *config};
    l->from_ns = memory_zero(config->window, sizeof(*l->from_ns));
    l->free_slots = memory_zero(config->window, sizeof(*l->free_slots));
    for (uint32_t i = 0; i < config->window; i++)
        l->free_slots[l->free_count++] = config->window - 1 - i;

    /* One body more than the window: a body is never rewritten while it is in flight. */
    uint64_t size = config->body_size > 0 ? config->body_size : 1;
    l->body_count = POOL_BYTES_MIN / size > config->window ? POOL_BYTES_MIN / size : config->window + 1u;
    uint64_t words = (l->body_count * size + 7) / 8;
    uint64_t *pool = memory_zero(words, sizeof(*pool));
    struct random r;
    random_open(&r, 1);
    for (uint64_t i = 0; i < words; i++)
        pool[i] = random_next(&r);
    l->bodies = (uint8_t *)pool;
    for (uint64_t i = 0; config->text && i < words * 8; i++)
        l->bodies[i] = (uint8_t)('a' + l->bodies[i] % 26);
    load_tick(l);
}

void load_close(struct load *l)
{
    memory_free(l->from_ns);
    memory_free(l->free_slots);
    memory_free(l->bodies);
    *l = (struct load){0};
}

void load_tick(struct load *l)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    l->now_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void load_begin(struct load *l)
{
    load_tick(l);
    l->began_ns = l->shown_ns = l->ended_ns = l->now_ns;
    l->measured_ns = l->config.warmup_ns == 0 ? l->now_ns : 0;
    schedule_open(&l->schedule, l->config.rate, l->now_ns);
}

static uint64_t load_end_ns(const struct load *l)
{
    return l->began_ns + l->config.warmup_ns + l->config.duration_ns;
}

bool load_ended(const struct load *l)
{
    bool counted = l->config.count > 0 && l->claimed >= l->config.count;
    bool stopped = l->config.stop != NULL && atomic_load(l->config.stop);
    return counted || stopped || (l->config.duration_ns > 0 && l->now_ns >= load_end_ns(l));
}

bool load_finished(const struct load *l)
{
    return load_ended(l) && l->done == l->claimed;
}

static uint32_t load_claim(struct load *l, uint64_t from_ns)
{
    ASSERT(l->free_count > 0);
    uint32_t slot = l->free_slots[--l->free_count];
    l->from_ns[slot] = from_ns;
    l->claimed++;
    return slot;
}

bool load_take(struct load *l, uint32_t *slot)
{
    uint64_t from_ns = 0;
    if (l->free_count == 0 || load_ended(l) || !schedule_take(&l->schedule, l->now_ns, &from_ns))
        return false;
    *slot = load_claim(l, from_ns);
    return true;
}

static void load_measure(struct load *l, uint64_t from_ns)
{
    if (l->measured_ns != 0)
        histogram_record(&l->latency, l->now_ns > from_ns ? l->now_ns - from_ns : 0);
}

uint32_t load_arrive(struct load *l, struct bytes body)
{
    uint64_t stamp = l->now_ns;
    if (l->config.stamped && body.len >= STAMP_BYTES) {
        memcpy(&stamp, body.data, STAMP_BYTES);
        load_measure(l, stamp);
    }
    return load_claim(l, stamp);
}

uint64_t load_room(const struct load *l, uint64_t asked)
{
    if (load_ended(l) || l->free_count <= asked)
        return 0;
    uint64_t room = l->free_count - asked;
    uint64_t wanted = l->config.count > 0 ? l->config.count - l->claimed : UINT64_MAX;
    wanted = wanted > asked ? wanted - asked : 0;
    return room < wanted ? room : wanted;
}

static void load_show(struct load *l)
{
    uint64_t passed = l->now_ns - l->shown_ns;
    if (!l->config.progress || passed < progress_ns)
        return;
    char rate[UNITS_TEXT_MAX], done[UNITS_TEXT_MAX];
    units_count_text((double)(l->done - l->shown_done) * 1e9 / (double)passed, rate);
    units_count_text((double)l->done, done);
    double share = l->config.count > 0 ? (double)l->done / (double)l->config.count
                                       : (double)(l->now_ns - l->began_ns) / (double)(load_end_ns(l) - l->began_ns);
    fprintf(stderr, "\r%3.0f %%  %s done, %s/s   \r", share < 1 ? share * 100 : 100.0, done, rate);
    l->shown_ns = l->now_ns;
    l->shown_done = l->done;
}

void load_done(struct load *l, uint32_t slot)
{
    ASSERT(slot < l->config.window && l->free_count < l->config.window);
    l->free_slots[l->free_count++] = slot;
    l->done++;
    l->ended_ns = l->now_ns;
    if (l->measured_ns != 0) {
        l->measured++;
        if (!l->config.stamped || !l->config.consumes)
            load_measure(l, l->from_ns[slot]);
    } else if (l->now_ns >= l->began_ns + l->config.warmup_ns) {
        l->measured_ns = l->now_ns;
    }
    load_show(l);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t load_wait(const struct load *l)
{
    uint64_t wait = l->config.stop != NULL ? stop_poll_ns : UINT64_MAX;
    if (!load_ended(l) && !l->config.consumes && l->free_count > 0)
        wait = earlier(wait, schedule_wait(&l->schedule, l->now_ns));
    if (!load_ended(l) && l->config.duration_ns > 0)
        wait = earlier(wait, load_end_ns(l) - l->now_ns);
    return wait;
}

struct bytes load_body(struct load *l, uint32_t slot)
{
    uint8_t *body = l->bodies + (l->claimed % l->body_count) * l->config.body_size;
    if (l->config.stamped && l->config.body_size >= STAMP_BYTES)
        memcpy(body, &l->from_ns[slot], STAMP_BYTES);
    return bytes_of(body, l->config.body_size);
}

double load_seconds(const struct load *l)
{
    return l->measured_ns != 0 ? (double)(l->ended_ns - l->measured_ns) / 1e9 : 0;
}

double load_rate(const struct load *l)
{
    double seconds = load_seconds(l);
    return seconds > 0 ? (double)l->measured / seconds : 0;
}
