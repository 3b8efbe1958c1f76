/* The sha256 of several messages at once, where the processor has instructions that make this faster. */
#ifndef TANDEMFS_SHA256_LANES_H
#define TANDEMFS_SHA256_LANES_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_LANES_MAX 8

struct sha256_lane {
  const uint8_t *bytes;
  size_t size;
};

/*
 * Sums of the first lanes, SHA256_BYTES each, one behind the other. Returns how many lanes were taken, at most
 * `lanes_max`: 0 when the next one by itself is no slower.
 */
size_t sha256_lanes(const struct sha256_lane *lanes, size_t count, size_t lanes_max, uint8_t *sums);

#endif
