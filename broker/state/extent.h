/* Extents: the shard's entries in stretches of 16 MiB of messages, each counting what is alive in it, so that it is
 * known which part of the log still holds live bodies, and when spilled ones can go.
 *
 * An *entry record* (key `e` index) lists the chunks an entry made, some of which may be gone; an item of the outbox whose message is in
 * no chunk any more hangs a record of its own under its entry (key `e` index target sequence).
 * An extent in which nothing lives is dropped with its entry records, the last one too: the next message begins a new one.
 *
 * Loop thread, except for spilling. Memory: about 40 bytes an extent. */
#ifndef HATO_STATE_EXTENT_H
#define HATO_STATE_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "state/machine.h"

struct extents;
struct keys;
struct store;
struct store_snapshot;

enum { EXTENT_BYTES = 16 << 20, EXTENT_ENTRIES = 32768 };

/* Loads the extents' records; `applied` as of the store. Errors: the store's. */
int extent_open(struct keys *ks, uint64_t applied, struct extents **out, struct error *e);
void extent_close(struct extents *x); /* accepts NULL */

/* ---------------------------------------------------------------- during an entry */

/* `chunk` of `queue` was made with messages whose bodies are in entry `index`: the one under way, or an older one when
 * they return from the outbox. Bytes are those of message_ref.len in all. */
void extent_add(struct extents *x, uint64_t index, uint64_t queue, uint64_t chunk, uint32_t messages, uint64_t bytes);

/* Messages of entry `index` are gone: acked, expired, purged, or their item of the outbox was settled. Within one entry
 * adding and going may come in any order. */
void extent_gone(struct extents *x, uint64_t index, uint32_t messages, uint64_t bytes);

/* A message went into the outbox (its chunk loses it, the extents still count it); its item was settled (then
 * extent_gone, and extent_add where it returns to a queue). */
void extent_moving(struct extents *x, struct keys *ks, const struct message_ref *ref, uint16_t target,
                   uint64_t sequence);
void extent_moved(struct extents *x, struct keys *ks, uint64_t index, uint16_t target, uint64_t sequence);

/* At the end of an entry: writes entry records and the extents that changed into the batch. */
int extent_write(struct extents *x, struct keys *ks, struct error *e);

/* ---------------------------------------------------------------- for the log's window */

/* No live message refers to an entry below this one; UINT64_MAX when nothing lives. It is the start of the first extent
 * with live messages: up to 16 MiB of messages before the first one alive. */
uint64_t extent_first_live(const struct extents *x);

/* machine_dead_ranges. */
size_t extent_dead_ranges(struct extents *x, uint64_t below, uint64_t (*out)[2], size_t max);
void extent_dead_again(struct extents *x, uint64_t first, uint64_t last); /* machine_dead_again */

/* ---------------------------------------------------------------- spilling */

enum { EXTENT_CHUNK_SLOTS = 64 };

/* How the owner of chunks tells which messages of a chunk are alive in the snapshot, and from which entry. Called on
 * the spilling thread: touches nothing but its arguments (`buffer` is scratch). A chunk that is not there has none. */
typedef int (*extent_chunk_fn)(struct store *store, const struct store_snapshot *snapshot, uint16_t shard,
                               uint64_t queue, uint64_t chunk, struct buffer *buffer,
                               struct message_ref out[EXTENT_CHUNK_SLOTS], size_t *count, struct error *e);

/* Live messages of entries first..last (both included) in ascending order of (entry, offset), each once. Opened on the
 * loop (takes the snapshot), then used and closed by one thread of the caller's choice, before the store is closed.
 * Errors, of the first extent_spill_next too: ERR_STORAGE_FULL when what is applied could not be put into the store. */
struct extent_spill;
struct extent_spill *extent_spill_open(struct keys *ks, uint64_t first, uint64_t last, extent_chunk_fn chunk);
int extent_spill_next(struct extent_spill *s, struct message_ref *out, bool *more, struct error *e);
void extent_spill_close(struct extent_spill *s); /* accepts NULL */

#endif
