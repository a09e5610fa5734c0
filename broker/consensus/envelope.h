/* A peer message as bytes: an envelope that lists the entries, then their bodies. The link between two nodes frames it,
 * says which group it is for, and checks it (length, checksum).
 *
 * Version 1, little-endian: u8 version; varint header length, header; varint count; when that is above 0
 * u64 index of the first entry and for each entry u8 kind, varint term, varint length; then the bodies in order, without
 * padding. */
#ifndef HATO_CONSENSUS_ENVELOPE_H
#define HATO_CONSENSUS_ENVELOPE_H

#include "base/blob.h"
#include "base/bytes.h"
#include "base/error.h"
#include "consensus/raft.h"

/* Appends everything but the bodies, which the sender puts behind it with one vectored write. */
void envelope_encode(const struct raft_message *m, struct buffer *to);

/* Bytes of the bodies that follow. */
size_t envelope_body_len(const struct raft_message *m);

/* Reads one message from `from`, a part of `owner`'s bytes, to its end. The message views `owner`, which the caller
 * keeps until it is done with it. `entries` is allocated and freed with envelope_free; header and bodies are views.
 * `from` and `to` of the message are left 0: the link knows the one, the header holds both.
 * Errors: ERR_PROTOCOL, ERR_TOO_LARGE, ERR_VERSION. */
int envelope_decode(struct blob *owner, struct bytes from, struct raft_message *m, struct error *e);
void envelope_free(struct raft_message *m);

/* Whether the message offers a snapshot, and which: `index`, `term` and `data` (a view) of it. */
bool envelope_snapshot(const struct raft_message *m, struct raft_snapshot *out);

#endif
