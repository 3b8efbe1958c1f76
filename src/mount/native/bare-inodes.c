/* See bare-inodes.h. */
#include "bare-inodes.h"

#include "request.h"

#include <errno.h>
#include <string.h>

#define OPCODE_GETXATTR 22
#define OPCODE_LISTXATTR 23

struct getxattr_in {
  uint32_t size;
  uint32_t padding;
};

struct answer {
  struct out_header header;
  uint32_t list_size; /* of a list whose size alone is asked for */
  uint32_t padding;
};

/* Other names may have to be refused, which is not decided here. */
static bool is_acl_name(const char *name, size_t size) {
  static const char access[] = "system.posix_acl_access";
  static const char preset[] = "system.posix_acl_default";
  return (size == sizeof(access) && memcmp(name, access, size) == 0) ||
         (size == sizeof(preset) && memcmp(name, preset, size) == 0);
}

bool bare_inodes_answer(const struct timed_set *bare, int fd, const void *request, size_t size) {
  struct in_header in;
  struct getxattr_in asked;
  size_t head = sizeof(in) + sizeof(asked);
  if (size < head) {
    return false;
  }
  memcpy(&in, request, sizeof(in));
  if ((in.opcode != OPCODE_GETXATTR && in.opcode != OPCODE_LISTXATTR) ||
      !timed_set_has(bare, in.nodeid)) {
    return false;
  }
  memcpy(&asked, (const char *)request + sizeof(in), sizeof(asked));
  struct out_header header = {.len = sizeof(header), .error = 0, .unique = in.unique};
  struct answer answer = {.header = header};
  if (in.opcode == OPCODE_LISTXATTR) {
    answer.header.len = asked.size == 0 ? sizeof(answer) : sizeof(header);
  } else if (is_acl_name((const char *)request + head, size - head)) {
    answer.header.error = -ENODATA;
  } else {
    return false;
  }
  return write_answer(fd, &answer, answer.header.len);
}
