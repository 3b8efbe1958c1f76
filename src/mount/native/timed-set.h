/*
 * A set of numbers that holds until a time. The table is JavaScript's (channel/timed-set.ts) and is only
 * read here, on the thread that writes it.
 */
#ifndef TANDEMFS_TIMED_SET_H
#define TANDEMFS_TIMED_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timed_set {
  const double *until_ms; /* of CLOCK_BOOTTIME */
  const double *members;  /* 0: none */
  uint64_t mask;          /* slots - 1 */
};

/* False unless `data` is a double and then 2^n of them. */
bool timed_set_init(struct timed_set *set, const void *data, size_t size);
bool timed_set_has(const struct timed_set *set, uint64_t number);

#endif
