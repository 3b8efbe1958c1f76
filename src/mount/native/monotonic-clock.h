/* Time for what waits by the microsecond. */
#ifndef TANDEMFS_MONOTONIC_CLOCK_H
#define TANDEMFS_MONOTONIC_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Of CLOCK_MONOTONIC, which every kernel has. */
static inline uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
