/*
 * GETATTR of inodes whose attributes stand ready, answered without JavaScript. The table is JavaScript's
 * (channel/ready-attributes.ts, which says what it means) and is only read here, on the thread that writes it.
 */
#ifndef TANDEMFS_READY_ATTRIBUTES_H
#define TANDEMFS_READY_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ready_attributes {
  const double *until_ms; /* of CLOCK_BOOTTIME */
  const uint8_t *slots;
  uint64_t mask; /* slots - 1 */
};

/* False unless `data` is a double and then 2^n slots. */
bool ready_attributes_init(struct ready_attributes *ready, const void *data, size_t size);
/* True when the request was such a question and is answered. */
bool ready_attributes_answer(const struct ready_attributes *ready, int fd, const void *request,
                             size_t size);

#endif
