/* See plain-handles.h. */
#include "plain-handles.h"

#include "request.h"

#include <string.h>

#define OPCODE_FLUSH 25

bool plain_handles_answer(const struct timed_set *handles, int fd, const void *request,
                          size_t size) {
  struct in_header in;
  uint64_t handle;
  if (size < sizeof(in) + sizeof(handle)) {
    return false;
  }
  memcpy(&in, request, sizeof(in));
  memcpy(&handle, (const char *)request + sizeof(in), sizeof(handle));
  if (in.opcode != OPCODE_FLUSH || !timed_set_has(handles, handle)) {
    return false;
  }
  struct out_header answer = {.len = sizeof(answer), .error = 0, .unique = in.unique};
  return write_answer(fd, &answer, sizeof(answer));
}
