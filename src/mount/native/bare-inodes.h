/*
 * Questions about extended attributes of inodes that have none, answered without JavaScript: `ls -l`
 * asks one of each file. The table is JavaScript's (channel/bare-inodes.ts, which says what it
 * means) and is only read here, on the thread that writes it.
 */
#ifndef TANDEMFS_BARE_INODES_H
#define TANDEMFS_BARE_INODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bare_inodes {
  const double *until_ms; /* of CLOCK_BOOTTIME */
  const double *inodes;   /* 0: none */
  uint64_t mask;          /* slots - 1 */
};

/* False unless `data` is a double and then 2^n of them. */
bool bare_inodes_init(struct bare_inodes *bare, void *data, size_t size);
/* True when the request was such a question and is answered. */
bool bare_inodes_answer(const struct bare_inodes *bare, int fd, const void *request, size_t size);

#endif
