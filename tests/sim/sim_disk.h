/* A disk in memory that behaves as badly as base/disk.h allows: what was not synced may be lost, torn and reordered at a
 * crash, bits flip, space ends, operations fail on command. Everything follows from calls and seeds.
 *
 * Paths are plain strings; a file's directory is its path up to the last slash. Single thread.
 *
 * After sim_disk_crash all files opened before it are dead: they may only be closed. */
#ifndef HATO_TESTS_SIM_DISK_H
#define HATO_TESTS_SIM_DISK_H

#include "base/disk.h"

struct sim_disk;

/* What a failure applies to. */
enum sim_disk_op {
    SIM_DISK_WRITE = 1,
    SIM_DISK_SYNC = 2,
    SIM_DISK_READ = 4,
    SIM_DISK_OTHER = 8, /* names, sizes, directories */
    SIM_DISK_ANY = 15,
    SIM_DISK_CHANGE = SIM_DISK_WRITE | SIM_DISK_SYNC | SIM_DISK_OTHER,
};

struct sim_disk *sim_disk_create(uint64_t capacity_bytes); /* 0: without end */
void sim_disk_destroy(struct sim_disk *s); /* accepts NULL; files may still be open, but must be closed first */

struct disk *sim_disk_table(struct sim_disk *s);

/* Power is gone and comes back: of each file's blocks written since its last sync an arbitrary version stays, of the
 * changes of names since the last sync_dir an arbitrary prefix. Locks and pending failures are gone. */
void sim_disk_crash(struct sim_disk *s, uint64_t seed);

/* The process is gone, the machine is not: nothing is lost. */
void sim_disk_kill(struct sim_disk *s);

/* The operations of `ops` fail with `code` (ERR_IO, ERR_STORAGE_FULL) after `after` more of them went well: the first
 * that fails is a write half done. `times` of them fail, 0: all from then on. Replaces an earlier order. */
void sim_disk_fail(struct sim_disk *s, unsigned ops, uint64_t after, uint64_t times, enum error_code code);
void sim_disk_heal(struct sim_disk *s);

void sim_disk_capacity(struct sim_disk *s, uint64_t capacity_bytes);
uint64_t sim_disk_used(const struct sim_disk *s);
uint64_t sim_disk_syncs(const struct sim_disk *s);   /* how many files were synced so far */
uint64_t sim_disk_changes(const struct sim_disk *s); /* how many operations of SIM_DISK_CHANGE so far */

/* Direct access to a file's bytes, synced and not: for damage on purpose. */
bool sim_disk_exists(const struct sim_disk *s, const char *path);
uint64_t sim_disk_size(const struct sim_disk *s, const char *path);
void sim_disk_peek(const struct sim_disk *s, const char *path, uint64_t offset, void *to, size_t len);
void sim_disk_poke(struct sim_disk *s, const char *path, uint64_t offset, const void *from, size_t len);
void sim_disk_flip(struct sim_disk *s, const char *path, uint64_t offset, uint8_t bits);
void sim_disk_cut(struct sim_disk *s, const char *path, uint64_t bytes);
void sim_disk_remove(struct sim_disk *s, const char *path);

/* Calls `each` with every path, sorted. */
void sim_disk_each(const struct sim_disk *s, void (*each)(void *ctx, const char *path), void *ctx);

/* A copy with the same bytes and names, all of it synced, nothing open. */
struct sim_disk *sim_disk_copy(const struct sim_disk *s);

#endif
