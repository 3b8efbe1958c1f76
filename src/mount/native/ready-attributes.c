/* See ready-attributes.h. */
#include "ready-attributes.h"

#include "request.h"

#include <string.h>

#define OPCODE_GETATTR 3
#define ATTR_BYTES 88
/* Less is not worth it: JavaScript looks whether there is more by now. */
#define VALID_MIN_MS 100

struct slot {
  double inode; /* 0: none */
  uint8_t attr[ATTR_BYTES];
};

struct attr_answer {
  struct out_header header;
  uint64_t valid_sec;
  uint32_t valid_nsec;
  uint32_t padding;
  uint8_t attr[ATTR_BYTES];
};

bool ready_attributes_init(struct ready_attributes *ready, const void *data, size_t size) {
  if (size < sizeof(double) || (size - sizeof(double)) % sizeof(struct slot) != 0) {
    return false;
  }
  size_t count = (size - sizeof(double)) / sizeof(struct slot);
  if (count == 0 || (count & (count - 1)) != 0) {
    return false;
  }
  ready->until_ms = data;
  ready->slots = (const uint8_t *)data + sizeof(double);
  ready->mask = count - 1;
  return true;
}

bool ready_attributes_answer(const struct ready_attributes *ready, int fd, const void *request,
                             size_t size) {
  struct in_header in;
  struct slot slot;
  if (size < sizeof(in)) {
    return false;
  }
  memcpy(&in, request, sizeof(in));
  if (in.opcode != OPCODE_GETATTR || in.nodeid == 0) {
    return false;
  }
  memcpy(&slot, ready->slots + (in.nodeid & ready->mask) * sizeof(slot), sizeof(slot));
  if (slot.inode != (double)in.nodeid) {
    return false;
  }
  double left_ms = *ready->until_ms - boottime_ms();
  if (!(left_ms >= VALID_MIN_MS)) {
    return false;
  }
  uint64_t valid_ms = (uint64_t)left_ms;
  struct attr_answer answer = {
      .header = {.len = sizeof(answer), .error = 0, .unique = in.unique},
      .valid_sec = valid_ms / 1000,
      .valid_nsec = (uint32_t)(valid_ms % 1000) * 1000000,
  };
  memcpy(answer.attr, slot.attr, sizeof(slot.attr));
  return write_answer(fd, &answer, sizeof(answer));
}
