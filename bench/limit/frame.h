/* The limit's protocol, the same framing as the broker's: a 32-bit little-endian length N, then N bytes. A request is any N
 * bytes; the ack is a frame of 8 bytes, the number of the request on its connection, from 1, little-endian. */
#ifndef HATO_BENCH_LIMIT_FRAME_H
#define HATO_BENCH_LIMIT_FRAME_H

enum { FRAME_HEAD_BYTES = 4, FRAME_ACK_BYTES = 12, FRAME_BODY_MAX = 64 * 1024 * 1024 };

#endif
