/* What `hato top` shows: two looks at the broker give rates, and a frame of text for a screen of any size. */
#ifndef HATO_CLI_TOP_H
#define HATO_CLI_TOP_H

#include "base/arena.h"
#include "base/map.h"
#include "cli/json.h"
#include "hato.h"

enum { TOP_QUEUES_MAX = 10000, TOP_FUNCTIONS_MAX = 10000 };

struct top_queue {
    const char *name;
    const char *function;
    bool paused;
    struct hato_counts counts;
    double sent_rate; /* a second; negative: not known yet */
    double received_rate;
    double acked_rate;
};

struct top_function {
    const char *name;
    const char *state;
    const char *last_error;
    bool partial; /* not all nodes that deliver to it answered */
    uint32_t in_flight;
    uint32_t window;
    uint64_t delivered_total;
    uint64_t failed_total;
    double delivered_rate;
    double failed_rate;
};

/* One look. Texts live in its arena. A zeroed struct is an empty one. */
struct top_look {
    struct arena arena;
    uint64_t at_ns;
    struct hato_status status; /* without shards */
    struct top_queue *queues;
    size_t queue_count;
    bool more_queues; /* than TOP_QUEUES_MAX */
    struct top_function *functions;
    size_t function_count;
    bool more_functions; /* than TOP_FUNCTIONS_MAX */
    struct map queue_by_name;
    struct map function_by_name;
};

enum top_order { TOP_BY_NAME, TOP_BY_READY, TOP_BY_RATE, TOP_ORDERS };

enum top_table { TOP_QUEUES, TOP_FUNCTIONS, TOP_TABLES };

struct top_frame {
    const struct top_look *look;
    const char *server;
    const char *problem; /* shown instead of the hint, NULL: none */
    enum top_order order;
    enum top_table scrolled;  /* the one that the keys scroll */
    size_t first[TOP_TABLES]; /* rows scrolled past, less than there are */
    int columns;              /* 0: as wide as it gets, all rows, no hint: for a file */
    int rows;
    uint64_t now_ms;
};

void top_look_close(struct top_look *l);

/* Copies what replies hold; called for each page, then top_look_rate. */
void top_look_status(struct top_look *l, const struct hato_status *s, uint64_t at_ns);
void top_look_queues(struct top_look *l, const struct hato_queue *queues, size_t count);
void top_look_functions(struct top_look *l, const struct hato_function *functions, size_t count);

/* Rates since the look before. */
void top_look_rate(struct top_look *l, const struct top_look *before);

/* Writes a frame: lines, each ended by "\n", at most `rows`, each at most `columns` wide. */
void top_draw(struct buffer *out, const struct top_frame *f);

void top_json(struct json *j, const struct top_look *l);

#endif
