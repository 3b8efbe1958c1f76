/*
 * Requests that the addon answers itself, out of tables that JavaScript keeps: what those parts share.
 * Layouts: include/uapi/linux/fuse.h.
 */
#ifndef TANDEMFS_REQUEST_H
#define TANDEMFS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct in_header {
  uint32_t len;
  uint32_t opcode;
  uint64_t unique;
  uint64_t nodeid;
  uint32_t ids[4];
};

struct out_header {
  uint32_t len;
  int32_t error;
  uint64_t unique;
};

/* Milliseconds of CLOCK_BOOTTIME; behind every end when there is no telling. */
double boottime_ms(void);
/* True when the kernel took it, or nobody waits for it any more. */
bool write_answer(int fd, const void *answer, size_t size);

#endif
